// A preprocessing definition, compiled and run in one line of a test.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "verge/processing/preprocessor.hpp"

namespace verge::processing::test {

inline Result<Preprocessor> compile(std::string_view yaml, const TensorSpec& input) {
  VERGE_ASSIGN(const wire::Node node, wire::parse_yaml(yaml, "preprocessing.yaml"));
  VERGE_ASSIGN(const wire::Preprocessing definition, wire::read_preprocessing(node, wire::Place("preprocessing.yaml")));
  return Preprocessor::compile(definition, "preprocessing.yaml", input);
}

/// "version: 1, sample: image" and these steps.
inline std::string image_steps(std::string_view steps) {
  return "version: 1\nsample: image\nsteps:\n" + std::string(steps);
}

inline TensorSpec spec(DataType type, std::vector<std::int64_t> shape, std::optional<Quantisation> quantisation = {}) {
  return {"in", type, std::move(shape), quantisation};
}

/// The input tensor after one run over `image`.
template <typename T>
struct Filled {
  std::vector<T> values;
  Placement placement;
};

template <typename T>
Filled<T> fill(std::string_view yaml, const TensorSpec& input, const ImageView& image, ImageSize source = {}) {
  auto preprocessor = compile(yaml, input);
  if (!preprocessor) {
    ADD_FAILURE() << preprocessor.error().text();
    return {};
  }
  std::vector<T> values(*element_count(preprocessor->input_shape()));
  const TensorView view{input.datatype, preprocessor->input_shape(), reinterpret_cast<std::byte*>(values.data()),
                        values.size() * sizeof(T)};
  if (source.width == 0) source = {image.width, image.height};
  const auto placement = preprocessor->run(image, source, view);
  if (!placement) {
    ADD_FAILURE() << placement.error().text();
    return {};
  }
  return {values, *placement};
}

/// A picture with structure in every direction, made the same way by the script that made the expectations.
inline Image pattern(int width, int height) {
  Image image(width, height, PixelFormat::rgb);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::uint8_t* pixel = image.row(y) + std::ptrdiff_t{x} * 3;
      pixel[0] = static_cast<std::uint8_t>(x * 7 + y * 13);
      pixel[1] = static_cast<std::uint8_t>(x * x + y * 3);
      pixel[2] = static_cast<std::uint8_t>((x ^ y) * 37);
    }
  }
  return image;
}

}  // namespace verge::processing::test
