// Declared tensors: inputs of a model whose file does not say what it takes, as the host's option "inputs" names them.
#pragma once

#include <cctype>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "verge/engines/plugin.hpp"

namespace verge::engines {

namespace detail {

inline std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

[[noreturn]] inline void throw_declaration(std::string_view text) {
  throw Failure(VERGE_ENGINE_INVALID_ARGUMENT,
                "option 'inputs': expected 'NAME TYPE [SIZE,…]', for example "
                "'x FP32 [1,3,224,224]', inputs behind each other with ';'; got '" +
                    std::string(text) + "'");
}

inline verge_engine_datatype declared_datatype(std::string_view name, std::string_view text) {
  static constexpr std::array<std::string_view, 13> kNames{
      "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<verge_engine_datatype>(i);
  }
  throw_declaration(text);
}

inline std::vector<std::int64_t> declared_shape(std::string_view sizes, std::string_view text) {
  std::vector<std::int64_t> shape;
  while (!sizes.empty()) {
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(sizes.data(), sizes.data() + sizes.size(), size);
    if (error != std::errc{} || size < -1 || shape.size() == VERGE_ENGINE_MAX_RANK) throw_declaration(text);
    shape.push_back(size);
    sizes.remove_prefix(static_cast<std::size_t>(end - sizes.data()));
    if (sizes.empty()) return shape;
    if (sizes.front() != ',') throw_declaration(text);
    sizes = trimmed(sizes.substr(1));
    if (sizes.empty()) throw_declaration(text);
  }
  return shape;
}

}  // namespace detail

/// Reads "x FP32 [-1,3,224,224]; mask BOOL [1,224]"; a name may hold spaces, -1 is variable.
/// Throws Failure(INVALID_ARGUMENT) with an example.
inline std::vector<TensorDescription> declared_tensors(std::string_view text) {
  std::vector<TensorDescription> tensors;
  std::string_view rest = text;
  while (!detail::trimmed(rest).empty()) {
    const std::size_t open = rest.find(" [");
    const std::size_t close = open == std::string_view::npos ? open : rest.find(']', open);
    if (close == std::string_view::npos) detail::throw_declaration(text);
    const std::string_view head = detail::trimmed(rest.substr(0, open));
    const std::size_t space = head.rfind(' ');
    if (space == std::string_view::npos) detail::throw_declaration(text);
    TensorDescription tensor;
    tensor.name = std::string(detail::trimmed(head.substr(0, space)));
    tensor.datatype = detail::declared_datatype(head.substr(space + 1), text);
    tensor.shape = detail::declared_shape(detail::trimmed(rest.substr(open + 2, close - open - 2)), text);
    tensors.push_back(std::move(tensor));
    rest = detail::trimmed(rest.substr(close + 1));
    if (rest.empty()) break;
    if (rest.front() != ';') detail::throw_declaration(text);
    rest.remove_prefix(1);
  }
  return tensors;
}

}  // namespace verge::engines
