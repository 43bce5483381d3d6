#include "activation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace verge::processing {
namespace {

/// Brings everything into the numbers whose differences are finite.
float tame(float value) noexcept {
  constexpr float kMost = std::numeric_limits<float>::max() / 4;
  return std::isnan(value) ? -kMost : std::clamp(value, -kMost, kMost);
}

}  // namespace

float sigmoid(float value) noexcept {
  return std::isnan(value) ? 0.0F : 1.0F / (1.0F + std::exp(-value));
}

void sigmoid(std::span<float> values) noexcept {
  for (float& value : values) value = sigmoid(value);
}

void softmax(float* values, std::size_t count, std::size_t stride) noexcept {
  if (count == 0) return;
  float most = tame(values[0]);
  for (std::size_t i = 1; i < count; ++i) most = std::max(most, tame(values[i * stride]));
  float sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    float& value = values[i * stride];
    value = std::exp(tame(value) - most);
    sum += value;
  }
  for (std::size_t i = 0; i < count; ++i) values[i * stride] /= sum;  // At least 1: the largest gives exp(0).
}

void softmax(std::span<float> values, std::size_t classes, std::size_t inner) noexcept {
  if (classes == 0 || inner == 0) return;
  for (std::size_t outer = 0; outer + classes * inner <= values.size(); outer += classes * inner) {
    for (std::size_t i = 0; i < inner; ++i) softmax(values.data() + outer + i, classes, inner);
  }
}

}  // namespace verge::processing
