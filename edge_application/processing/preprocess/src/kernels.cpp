#include "kernels.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace verge::processing {
namespace {

constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

std::uint8_t clip(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

void filter_row_colour(const std::uint8_t* in, std::uint8_t* out, const Taps& taps) {
  for (std::size_t x = 0; x < taps.begin.size(); ++x) {
    const std::uint8_t* pixel = in + static_cast<std::ptrdiff_t>(taps.begin[x]) * 3;
    const std::int32_t* weight = taps.at(static_cast<int>(x));
    std::int32_t a = kHalf;
    std::int32_t b = kHalf;
    std::int32_t c = kHalf;
    for (std::int32_t i = 0; i < taps.length[x]; ++i, pixel += 3) {
      a += pixel[0] * weight[i];
      b += pixel[1] * weight[i];
      c += pixel[2] * weight[i];
    }
    out[3 * x] = clip(a);
    out[3 * x + 1] = clip(b);
    out[3 * x + 2] = clip(c);
  }
}

inline __attribute__((always_inline)) void filter_row_grey(const std::uint8_t* in, std::uint8_t* out,
                                                           const Taps& taps) {
  for (std::size_t x = 0; x < taps.begin.size(); ++x) {
    const std::uint8_t* pixel = in + taps.begin[x];
    const std::int32_t* weight = taps.at(static_cast<int>(x));
    std::int32_t sum = kHalf;
    for (std::int32_t i = 0; i < taps.length[x]; ++i) sum += pixel[i] * weight[i];
    out[x] = clip(sum);
  }
}

void filter_columns_portable(const std::uint8_t* in, std::size_t stride_bytes, const std::int32_t* weights, int length,
                             std::size_t row_bytes, std::uint8_t* out) {
  constexpr std::size_t kBlock =
      64;  // Sums stay in the first-level cache, and the loops have a length to vectorise by.
  std::array<std::int32_t, kBlock> sums;
  for (std::size_t x = 0; x < row_bytes; x += kBlock) {
    const std::size_t count = std::min(kBlock, row_bytes - x);
    sums.fill(kHalf);
    for (int i = 0; i < length; ++i) {
      const std::uint8_t* row = in + static_cast<std::size_t>(i) * stride_bytes + x;
      const std::int32_t weight = weights[i];
      for (std::size_t k = 0; k < count; ++k) sums[k] += row[k] * weight;
    }
    for (std::size_t k = 0; k < count; ++k) out[x + k] = clip(sums[k]);
  }
}

#if defined(__x86_64__)

/// Four taps of three channels at a time: (high, low) halves of the weights times pairs of 8-bit pixels.
template <std::size_t kRows>
__attribute__((target("avx2"))) void filter_rows_avx2(const std::uint8_t* const* in, std::uint8_t* const* out,
                                                      const Taps& taps) {
  const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                                          6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i lanes = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m128i half = _mm_set1_epi32(kHalf);
  const auto spacing = static_cast<std::size_t>(taps.spacing);
  for (std::size_t x = 0; x < taps.begin.size(); ++x) {
    const std::ptrdiff_t base = static_cast<std::ptrdiff_t>(taps.begin[x]) * 3;
    const std::int16_t* high = taps.high.data() + x * spacing;
    const std::int16_t* low = taps.low.data() + x * spacing;
    __m256i high_sums[kRows];
    __m256i low_sums[kRows];
    for (std::size_t r = 0; r < kRows; ++r) high_sums[r] = low_sums[r] = _mm256_setzero_si256();
    for (std::int32_t i = 0; i < taps.length[x]; i += 4) {
      const __m256i high_weights = _mm256_permutevar8x32_epi32(
          _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(high + i))), lanes);
      const __m256i low_weights = _mm256_permutevar8x32_epi32(
          _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(low + i))), lanes);
      for (std::size_t r = 0; r < kRows; ++r) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in[r] + base + std::ptrdiff_t{3} * i));
        const __m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
        high_sums[r] = _mm256_add_epi32(high_sums[r], _mm256_madd_epi16(pixels, high_weights));
        low_sums[r] = _mm256_add_epi32(low_sums[r], _mm256_madd_epi16(pixels, low_weights));
      }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high_sums[r], kLowBits), low_sums[r]);
      __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
      sum = _mm_srai_epi32(_mm_add_epi32(sum, half), kWeightBits);
      sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
      const std::int32_t pixel = _mm_cvtsi128_si32(sum);
      std::memcpy(out[r] + 3 * x, &pixel, sizeof(pixel));  // The fourth byte is the next pixel's, or padding.
    }
  }
}

__attribute__((target("avx2"))) void filter_row_grey_avx2(const std::uint8_t* in, std::uint8_t* out, const Taps& taps) {
  filter_row_grey(in, out, taps);
}

__attribute__((target("avx2"))) void filter_columns_avx2(const std::uint8_t* in, std::size_t stride_bytes,
                                                         const std::int32_t* weights, int length, std::size_t row_bytes,
                                                         std::uint8_t* out) {
  constexpr std::size_t kBlock = 32;
  std::size_t x = 0;
  for (; x + kBlock <= row_bytes; x += kBlock) {
    __m256i sums[4];
    for (auto& sum : sums) sum = _mm256_set1_epi32(kHalf);
    for (int i = 0; i < length; ++i) {
      const std::uint8_t* row = in + static_cast<std::size_t>(i) * stride_bytes + x;
      const __m256i weight = _mm256_set1_epi32(weights[i]);
      for (std::size_t k = 0; k < 4; ++k) {
        const __m256i pixels = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + 8 * k)));
        sums[k] = _mm256_add_epi32(sums[k], _mm256_mullo_epi32(pixels, weight));
      }
    }
    for (auto& sum : sums) sum = _mm256_srai_epi32(sum, kWeightBits);
    const __m256i packed =
        _mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]), _mm256_packs_epi32(sums[2], sums[3]));
    // The packs work within halves of the register: bring the groups of four back into order.
    const __m256i ordered = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x), ordered);
  }
  if (x < row_bytes) filter_columns_portable(in + x, stride_bytes, weights, length, row_bytes - x, out + x);
}

#endif

std::atomic<bool>& portable_wanted() noexcept {
  static std::atomic<bool> wanted{false};
  return wanted;
}

#if defined(__x86_64__)
bool fast() noexcept {
  return has_fast_kernels() && !portable_wanted().load(std::memory_order_relaxed);
}
#endif

}  // namespace

bool has_fast_kernels() noexcept {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
#else
  return false;
#endif
}

void use_portable_kernels(bool portable) noexcept {
  portable_wanted().store(portable, std::memory_order_relaxed);
}

void filter_rows(const std::uint8_t* const* in, std::uint8_t* const* out, int rows, int channels, const Taps& taps) {
#if defined(__x86_64__)
  if (fast()) {
    if (channels == 3 && rows == kRowsTogether) {
      filter_rows_avx2<std::size_t{kRowsTogether}>(in, out, taps);
      return;
    }
    for (int r = 0; r < rows; ++r) {
      if (channels == 3) {
        filter_rows_avx2<1>(in + r, out + r, taps);
      } else {
        filter_row_grey_avx2(in[r], out[r], taps);
      }
    }
    return;
  }
#endif
  for (int r = 0; r < rows; ++r) {
    if (channels == 3) {
      filter_row_colour(in[r], out[r], taps);
    } else {
      filter_row_grey(in[r], out[r], taps);
    }
  }
}

void filter_columns(const std::uint8_t* in, std::size_t stride_bytes, const std::int32_t* weights, int length,
                    std::size_t row_bytes, std::uint8_t* out) {
#if defined(__x86_64__)
  if (fast()) {
    filter_columns_avx2(in, stride_bytes, weights, length, row_bytes, out);
    return;
  }
#endif
  filter_columns_portable(in, stride_bytes, weights, length, row_bytes, out);
}

}  // namespace verge::processing
