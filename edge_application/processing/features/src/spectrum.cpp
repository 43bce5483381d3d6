#include "spectrum.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <new>
#include <numbers>

#include <kissfft/kiss_fftr.h>

namespace verge::processing {

struct Spectrogram::Transform {
  kiss_fftr_cfg plan;
  std::vector<kiss_fft_cpx> out;
  explicit Transform(std::size_t size)
      : plan(kiss_fftr_alloc(static_cast<int>(size), 0, nullptr, nullptr)), out(size / 2 + 1) {
    if (plan == nullptr) throw std::bad_alloc();
  }
  ~Transform() { kiss_fftr_free(plan); }
  Transform(const Transform&) = delete;
  Transform& operator=(const Transform&) = delete;
};

Spectrogram::Spectrogram(const wire::SpectrogramStep& step)
    : window_(static_cast<std::size_t>(step.window)),
      stride_(static_cast<std::size_t>(step.stride)),
      fft_(step.fft ? static_cast<std::size_t>(*step.fft) : std::bit_ceil(window_)),
      squared_(step.power == 2),
      frame_(fft_, 0.0F),
      transform_(std::make_unique<Transform>(fft_)) {
  weights_.reserve(window_);
  for (std::size_t i = 0; i < window_; ++i) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(window_);
    weights_.push_back(static_cast<float>(0.5 - 0.5 * std::cos(angle)));
  }
}
Spectrogram::Spectrogram(Spectrogram&&) noexcept = default;
Spectrogram& Spectrogram::operator=(Spectrogram&&) noexcept = default;
Spectrogram::~Spectrogram() = default;

std::size_t Spectrogram::rows(std::size_t samples) const noexcept {
  return samples < window_ ? 0 : (samples - window_) / stride_ + 1;
}

std::size_t Spectrogram::samples(std::size_t rows) const noexcept {
  return rows == 0 ? 0 : (rows - 1) * stride_ + window_;
}

void Spectrogram::run(std::span<const float> samples, std::vector<float>& out) {
  const std::size_t count = rows(samples.size());
  out.resize(count * columns());
  for (std::size_t row = 0; row < count; ++row) {
    const auto part = samples.subspan(row * stride_, window_);
    for (std::size_t i = 0; i < window_; ++i) frame_[i] = part[i] * weights_[i];
    kiss_fftr(transform_->plan, frame_.data(), transform_->out.data());
    float* const to = out.data() + row * columns();
    for (std::size_t i = 0; i < columns(); ++i) {
      const auto& bin = transform_->out[i];
      const float square = bin.r * bin.r + bin.i * bin.i;
      to[i] = squared_ ? square : std::sqrt(square);
    }
  }
}

MelFilters::MelFilters(const wire::MelStep& step, unsigned sample_rate, std::size_t columns)
    : bands_(static_cast<std::size_t>(step.bands)), bins_(columns) {
  const auto mel = [](double hz) { return 1127.0 * std::log1p(hz / 700.0); };
  const double low = mel(step.low_hz);
  const double width = (mel(step.high_hz) - low) / static_cast<double>(bands_ + 1);
  const double hz_per_bin = 0.5 * sample_rate / static_cast<double>(columns - 1);
  for (std::size_t i = 1; i < columns; ++i) {  // Without the constant part.
    const double place = (mel(static_cast<double>(i) * hz_per_bin) - low) / width;
    if (place < 0 || place >= static_cast<double>(bands_ + 1)) continue;
    const double band = std::floor(place);
    bins_[i].band = static_cast<std::size_t>(band);
    bins_[i].rising = static_cast<float>(place - band);
    bins_[i].falling = 1.0F - bins_[i].rising;
  }
}

void MelFilters::run(std::span<const float> in, std::vector<float>& out) const {
  const std::size_t rows = in.size() / bins_.size();
  out.assign(rows * bands_, 0.0F);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto from = in.subspan(row * bins_.size(), bins_.size());
    float* const to = out.data() + row * bands_;
    for (std::size_t i = 0; i < bins_.size(); ++i) {
      const Weight& weight = bins_[i];
      if (weight.band > 0) to[weight.band - 1] += from[i] * weight.falling;
      if (weight.band < bands_) to[weight.band] += from[i] * weight.rising;
    }
  }
}

CosineTransform::CosineTransform(std::size_t columns, std::size_t coefficients)
    : columns_(columns), coefficients_(coefficients) {
  const double scale = std::sqrt(2.0 / static_cast<double>(columns));
  for (std::size_t i = 0; i < coefficients; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      const double angle =
          std::numbers::pi / static_cast<double>(columns) * static_cast<double>(i) * (static_cast<double>(j) + 0.5);
      cosines_.push_back(static_cast<float>(scale * std::cos(angle)));
    }
  }
}

void CosineTransform::run(std::span<const float> in, std::vector<float>& out) const {
  const std::size_t rows = in.size() / columns_;
  out.resize(rows * coefficients_);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto from = in.subspan(row * columns_, columns_);
    for (std::size_t i = 0; i < coefficients_; ++i) {
      const float* const cosine = cosines_.data() + i * columns_;
      float sum = 0;
      for (std::size_t j = 0; j < columns_; ++j) sum += from[j] * cosine[j];
      out[row * coefficients_ + i] = sum;
    }
  }
}

}  // namespace verge::processing
