// Compiled features: a definition as text, against an input tensor.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "verge/processing/features.hpp"

namespace verge::processing::test {

inline Result<Features> compile(const std::string& yaml, const TensorSpec& input) {
  const auto node = wire::parse_yaml("version: 1\n" + yaml, "preprocessing.yaml");
  if (!node) return node.error();
  const auto definition = wire::read_preprocessing(*node, wire::Place("preprocessing.yaml"));
  if (!definition) return definition.error();
  return Features::compile(*definition, "preprocessing.yaml", input);
}

inline TensorSpec input(std::vector<std::int64_t> shape, DataType datatype = DataType::fp32) {
  return {"x", datatype, std::move(shape), {}};
}

template <typename T>
std::string failure(const Result<T>& result) {
  return result ? std::string("(no error)") : result.error().text();
}

inline std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// All values of a window.
inline std::vector<float> window(const Features& features, std::size_t number, std::size_t count) {
  std::vector<float> values(count);
  const TensorView view{DataType::fp32, {}, reinterpret_cast<std::byte*>(values.data()), count * sizeof(float)};
  const auto filled = features.fill(number, view);
  EXPECT_TRUE(filled) << failure(filled);
  return values;
}

}  // namespace verge::processing::test
