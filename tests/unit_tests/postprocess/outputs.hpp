// A postprocessing definition with the outputs it runs on, in a few lines of a test.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "verge/processing/postprocessor.hpp"

namespace verge::processing::test {

inline Result<Postprocessor> compile(std::string_view yaml, std::vector<std::string> labels, const TensorSpec& input,
                                     std::span<const TensorSpec> outputs) {
  VERGE_ASSIGN(const wire::Node node, wire::parse_yaml(yaml, "postprocessing.yaml"));
  VERGE_ASSIGN(const wire::Postprocessing definition,
               wire::read_postprocessing(node, wire::Place("postprocessing.yaml")));
  return Postprocessor::compile(definition, "postprocessing.yaml", std::move(labels), input, outputs);
}

inline std::string steps(std::string_view text) {
  return "version: 1\nsteps:\n" + std::string(text);
}

/// Outputs of a model, with their memory.
class Outputs {
 public:
  template <typename T>
  Outputs& add(std::string name, DataType type, std::vector<std::int64_t> shape, const std::vector<T>& values,
               std::optional<Quantisation> quantisation = {}) {
    specs_.push_back({std::move(name), type, std::move(shape), quantisation});
    const auto bytes = std::as_bytes(std::span(values));
    memory_.emplace_back(bytes.begin(), bytes.end());
    return *this;
  }
  [[nodiscard]] std::span<const TensorSpec> specs() const { return specs_; }
  [[nodiscard]] std::vector<TensorView> views() {
    std::vector<TensorView> result;
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      result.push_back({specs_[i].datatype, specs_[i].shape, memory_[i].data(), memory_[i].size()});
    }
    return result;
  }

 private:
  std::vector<TensorSpec> specs_;
  std::deque<std::vector<std::byte>> memory_;
};

inline const TensorSpec kInput{"in", DataType::fp32, {1, 32, 32, 3}, {}};

/// The picture fills the model's input of 32 × 32 exactly.
inline Placement whole(int source_width, int source_height) {
  return {32.0F / static_cast<float>(source_width),
          32.0F / static_cast<float>(source_height),
          0,
          0,
          source_width,
          source_height,
          32,
          32,
          0,
          0,
          32,
          32};
}

/// A prediction with the postprocessor that its labels point into.
struct Made {
  std::optional<Postprocessor> postprocessor;
  std::vector<TensorView> views;
  Prediction prediction;
};

inline Made make(std::string_view yaml, Outputs& outputs, std::vector<std::string> labels = {},
                 const Placement& placement = whole(32, 32)) {
  Made made;
  auto compiled = compile(yaml, std::move(labels), kInput, outputs.specs());
  if (!compiled) {
    ADD_FAILURE() << compiled.error().text();
    return made;
  }
  made.postprocessor.emplace(std::move(*compiled));
  made.views = outputs.views();
  const auto result = made.postprocessor->run(made.views, placement, made.prediction);
  if (!result) ADD_FAILURE() << result.error().text();
  return made;
}

}  // namespace verge::processing::test
