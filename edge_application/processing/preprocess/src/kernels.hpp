// Kernels: the two passes of a separable filter over 8-bit pixels, exact in 32-bit arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>

#include "filter.hpp"

namespace verge::processing {

/// Bytes that may be read past the last source pixel of a row, and written past the last target pixel.
inline constexpr std::size_t kOverreadBytes = 32;
/// Rows that filter_rows() takes at a time.
inline constexpr int kRowsTogether = 4;

/// Filters `rows` (1 … kRowsTogether) rows along x into taps.begin.size() pixels each.
void filter_rows(const std::uint8_t* const* in, std::uint8_t* const* out, int rows, int channels, const Taps& taps);

/// One target row out of `length` source rows, `stride_bytes` apart. Reads and writes exactly `row_bytes`.
void filter_columns(const std::uint8_t* in, std::size_t stride_bytes, const std::int32_t* weights, int length,
                    std::size_t row_bytes, std::uint8_t* out);

/// The processor has the vector instructions that the fast forms need; false: the portable forms run.
[[nodiscard]] bool has_fast_kernels() noexcept;
/// For tests: runs the portable forms although the fast ones could be had.
void use_portable_kernels(bool portable) noexcept;

}  // namespace verge::processing
