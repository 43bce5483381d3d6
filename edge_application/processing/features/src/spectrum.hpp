// Spectrum: frames of a sound to the rows of a spectrogram, of mel bands and of cepstral coefficients.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// Short-time Fourier transform. Used by one thread at a time.
class Spectrogram {
 public:
  explicit Spectrogram(const wire::SpectrogramStep& step);
  Spectrogram(Spectrogram&&) noexcept;
  Spectrogram& operator=(Spectrogram&&) noexcept;
  ~Spectrogram();

  [[nodiscard]] std::size_t columns() const noexcept { return fft_ / 2 + 1; }
  /// Frames in so many samples; 0 when not even one fits.
  [[nodiscard]] std::size_t rows(std::size_t samples) const noexcept;
  /// Samples that make so many frames.
  [[nodiscard]] std::size_t samples(std::size_t rows) const noexcept;
  /// Writes rows() × columns() values.
  void run(std::span<const float> samples, std::vector<float>& out);

 private:
  struct Transform;
  std::size_t window_, stride_, fft_;
  bool squared_;
  std::vector<float> weights_;
  std::vector<float> frame_;
  std::unique_ptr<Transform> transform_;
};

/// Triangular filters, evenly spaced on the HTK mel scale.
class MelFilters {
 public:
  MelFilters(const wire::MelStep& step, unsigned sample_rate, std::size_t columns);
  /// Each row of `in` to a row of bands.
  void run(std::span<const float> in, std::vector<float>& out) const;

 private:
  struct Weight {
    std::size_t band = 0;  ///< Whose falling side this bin is on, counting from 1; 0: none.
    float falling = 0;
    float rising = 0;  ///< Of the next band.
  };
  std::size_t bands_;
  std::vector<Weight> bins_;
};

/// DCT-II of each row of `columns` values; the first `coefficients` stay.
class CosineTransform {
 public:
  CosineTransform(std::size_t columns, std::size_t coefficients);
  void run(std::span<const float> in, std::vector<float>& out) const;

 private:
  std::size_t columns_, coefficients_;
  std::vector<float> cosines_;
};

}  // namespace verge::processing
