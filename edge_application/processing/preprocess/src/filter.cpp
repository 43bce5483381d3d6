#include "filter.hpp"

#include <algorithm>
#include <cmath>

namespace verge::processing {
namespace {

double triangle(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double cubic(double x, double a) {
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

/// The weights of one target pixel, before they are rounded.
struct Window {
  int begin = 0;
  int length = 0;
};

Window antialiased(bool is_cubic, double scale, int in, int target, std::vector<double>& weights) {
  constexpr double kPillowCubic = -0.5;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (is_cubic ? 2.0 : 1.0) * filter_scale;
  const double centre = (target + 0.5) * scale;
  const int begin = std::max(static_cast<int>(std::floor(centre - support + 0.5)), 0);
  const int end = std::min(static_cast<int>(std::floor(centre + support + 0.5)), in);
  double sum = 0;
  for (int x = begin; x < end; ++x) {
    const double distance = (x - centre + 0.5) * (1.0 / filter_scale);
    const double weight = is_cubic ? cubic(distance, kPillowCubic) : triangle(distance);
    weights[static_cast<std::size_t>(x - begin)] = weight;
    sum += weight;
  }
  for (int i = 0; i < end - begin; ++i) {
    if (sum != 0.0) weights[static_cast<std::size_t>(i)] /= sum;
  }
  return {begin, end - begin};
}

Window sampled(bool is_cubic, double scale, int in, int target, std::vector<double>& weights) {
  constexpr double kOpenCvCubic = -0.75;
  const double position = (target + 0.5) * scale - 0.5;
  const int base = static_cast<int>(std::floor(position));
  const double part = position - base;
  const int reach = is_cubic ? 2 : 1;
  const int begin = std::clamp(base - reach + 1, 0, in - 1);
  const int end = std::clamp(base + reach, 0, in - 1) + 1;
  std::fill_n(weights.begin(), end - begin, 0.0);
  for (int i = 1 - reach; i <= reach; ++i) {
    const double weight = is_cubic ? cubic(part - i, kOpenCvCubic) : triangle(part - i);
    weights[static_cast<std::size_t>(std::clamp(base + i, 0, in - 1) - begin)] += weight;
  }
  return {begin, end - begin};
}

Window covered(double scale, int in, int target, std::vector<double>& weights) {
  const double low = target * scale;
  const double high = std::min((target + 1) * scale, static_cast<double>(in));
  const int begin = std::clamp(static_cast<int>(low), 0, in - 1);
  const int end = std::clamp(static_cast<int>(std::ceil(high - 1e-9)), begin + 1, in);
  for (int x = begin; x < end; ++x) {
    const double share = std::min(high, x + 1.0) - std::max(low, static_cast<double>(x));
    weights[static_cast<std::size_t>(x - begin)] = end - begin == 1 ? 1.0 : share / (high - low);
  }
  return {begin, end - begin};
}

/// Most source pixels that a target pixel can have.
int longest(wire::Interpolation interpolation, bool antialias, double scale) {
  const double filter_scale = std::max(scale, 1.0);
  switch (interpolation) {
    case wire::Interpolation::nearest: return 1;
    case wire::Interpolation::area: return static_cast<int>(std::ceil(scale)) + 2;
    case wire::Interpolation::bilinear: return antialias ? static_cast<int>(std::ceil(filter_scale)) * 2 + 1 : 2;
    case wire::Interpolation::bicubic: return antialias ? static_cast<int>(std::ceil(2.0 * filter_scale)) * 2 + 1 : 4;
  }
  return 1;
}

void store(double weight, std::size_t at, Taps& taps) {
  constexpr double kOne = 1 << kWeightBits;
  const auto rounded = static_cast<std::int32_t>(weight < 0 ? weight * kOne - 0.5 : weight * kOne + 0.5);
  const std::int32_t high = (rounded + (1 << (kLowBits - 1))) >> kLowBits;
  taps.weights[at] = rounded;
  taps.high[at] = static_cast<std::int16_t>(high);
  taps.low[at] = static_cast<std::int16_t>(rounded - high * (1 << kLowBits));
}

}  // namespace

void make_taps(wire::Interpolation interpolation, bool antialias, int in, int out, int first, int count, Taps& taps) {
  const double scale = static_cast<double>(in) / out;
  const int most = longest(interpolation, antialias, scale);
  taps.spacing = (most + 3) / 4 * 4;
  const auto targets = static_cast<std::size_t>(count);
  const auto spacing = static_cast<std::size_t>(taps.spacing);
  taps.begin.resize(targets);
  taps.length.resize(targets);
  taps.weights.assign(targets * spacing, 0);
  taps.high.assign(targets * spacing, 0);
  taps.low.assign(targets * spacing, 0);
  std::vector<double>& weights = taps.exact;
  weights.resize(std::max(weights.size(), spacing));
  const bool is_cubic = interpolation == wire::Interpolation::bicubic;
  for (int i = 0; i < count; ++i) {
    Window window;
    if (interpolation == wire::Interpolation::nearest) {
      // In whole numbers: the middle of a target pixel often falls exactly on the border of two source pixels.
      const std::int64_t middle = (2 * std::int64_t{first + i} + 1) * in / (2 * std::int64_t{out});
      window = {static_cast<int>(std::min<std::int64_t>(middle, in - 1)), 1};
      weights[0] = 1.0;
    } else if (interpolation == wire::Interpolation::area) {
      window = covered(scale, in, first + i, weights);
    } else {
      window = antialias ? antialiased(is_cubic, scale, in, first + i, weights)
                         : sampled(is_cubic, scale, in, first + i, weights);
    }
    taps.begin[static_cast<std::size_t>(i)] = window.begin;
    taps.length[static_cast<std::size_t>(i)] = window.length;
    for (std::size_t k = 0; k < static_cast<std::size_t>(window.length); ++k) {
      store(weights[k], static_cast<std::size_t>(i) * spacing + k, taps);
    }
  }
}

}  // namespace verge::processing
