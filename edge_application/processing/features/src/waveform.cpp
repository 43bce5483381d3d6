#include "waveform.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace verge::processing {
namespace {

constexpr double kZeroCrossings = 16;

void resample(unsigned from, unsigned to, const std::vector<float>& in, std::vector<float>& out) {
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  const double cutoff = std::min(1.0, 1.0 / ratio);  // Of the input's own band: nothing above the output's survives.
  const double reach = kZeroCrossings / cutoff;
  out.resize(static_cast<std::size_t>(static_cast<double>(in.size()) / ratio));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double centre = static_cast<double>(i) * ratio;
    const auto first = static_cast<std::ptrdiff_t>(std::ceil(centre - reach));
    const auto last = static_cast<std::ptrdiff_t>(std::floor(centre + reach));
    double sum = 0;
    for (auto at = std::max<std::ptrdiff_t>(first, 0); at <= last && at < std::ssize(in); ++at) {
      const double distance = static_cast<double>(at) - centre;
      const double x = std::numbers::pi * distance * cutoff;
      const double sinc = std::abs(x) < 1e-9 ? 1.0 : std::sin(x) / x;
      const double hann = 0.5 + 0.5 * std::cos(std::numbers::pi * distance / reach);
      sum += static_cast<double>(in[static_cast<std::size_t>(at)]) * sinc * hann * cutoff;
    }
    out[i] = static_cast<float>(sum);
  }
}

}  // namespace

void shape_waveform(const wire::AudioStep& step, unsigned sample_rate, std::vector<float>& samples,
                    std::vector<float>& scratch) {
  const auto wanted = static_cast<unsigned>(step.sample_rate);
  if (sample_rate != wanted) {
    resample(sample_rate, wanted, samples, scratch);
    samples.swap(scratch);
  }
  if (step.duration_ms) samples.resize(static_cast<std::size_t>(*step.duration_ms) * wanted / 1000, 0.0F);
  if (!step.peak_normalise) return;
  float peak = 0;
  for (const float sample : samples) peak = std::max(peak, std::abs(sample));
  if (peak == 0) return;
  for (float& sample : samples) sample /= peak;
}

}  // namespace verge::processing
