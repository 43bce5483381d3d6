// Filter: which source pixels make a target pixel, and with what weight, along one axis.
#pragma once

#include <cstdint>
#include <vector>

#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// Bits behind the point of a weight: what Pillow has, so that the results are the same, bit for bit.
inline constexpr int kWeightBits = 22;
/// A weight is split as high * 2^15 + low, so that 16-bit multipliers give the exact 32-bit sum.
inline constexpr int kLowBits = 15;

/// Weights of a run of target pixels. Their sums are taken modulo 2^32; the totals fit.
struct Taps {
  int spacing = 0;                    ///< Weights a target pixel, a multiple of 4; those past `length` are 0.
  std::vector<std::int32_t> begin;    ///< First source pixel of each target pixel.
  std::vector<std::int32_t> length;   ///< Source pixels of each target pixel; at least 1.
  std::vector<std::int32_t> weights;  ///< `spacing` for each target pixel.
  std::vector<std::int16_t> high;
  std::vector<std::int16_t> low;
  std::vector<double> exact;  ///< Scratch of make_taps().

  [[nodiscard]] const std::int32_t* at(int target) const {
    return weights.data() + static_cast<std::size_t>(target) * static_cast<std::size_t>(spacing);
  }
};

/// Weights that bring `in` pixels to `out`, for the targets first … first + count - 1. Antialiased: as Pillow's
/// resample; else as OpenCV's INTER_LINEAR and INTER_CUBIC (the border repeats). Area: by covered share. Nearest has
/// one weight. Keeps the memory of `taps`.
void make_taps(wire::Interpolation interpolation, bool antialias, int in, int out, int first, int count, Taps& taps);

}  // namespace verge::processing
