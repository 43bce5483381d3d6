// Activation: softmax and sigmoid, safe against NaN and infinities.
#pragma once

#include <cstddef>
#include <span>

namespace verge::processing {

/// 1 / (1 + exp(-x)); NaN gives 0.
[[nodiscard]] float sigmoid(float value) noexcept;
void sigmoid(std::span<float> values) noexcept;

/// Values that belong together stand `stride` apart; `count` of them.
void softmax(float* values, std::size_t count, std::size_t stride) noexcept;
/// Softmax over the middle of [outer, classes, inner]. `values` holds outer × classes × inner elements.
void softmax(std::span<float> values, std::size_t classes, std::size_t inner) noexcept;

}  // namespace verge::processing
