// Values: 8-bit pixels to the elements of the model's input, row by row.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "verge/processing/tensor.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// value = pixel * factor + offset, for each channel.
struct Normalisation {
  std::array<double, 3> factor{1, 1, 1};
  std::array<double, 3> offset{0, 0, 0};
};

/// `value` as the definition's quantise step stores it: round(value / scale) + zero_point, halves to even, saturated.
[[nodiscard]] double quantised(double value, const Quantisation& quantisation) noexcept;

/// Writes rows of pixels into the tensor. As a pixel has 256 values, every element is known beforehand.
class ValueWriter {
 public:
  ValueWriter() = default;
  /// `quantisation`: what the quantise step uses; nothing: values are stored as they are, except that an int8 tensor
  /// without `normalisation` gets pixel - 128. The type must be a number.
  ValueWriter(const std::optional<Normalisation>& normalisation, const std::optional<Quantisation>& quantisation,
              DataType datatype, wire::TensorLayout layout, int channels, int width, int height);

  /// Row `y` of interleaved pixels into `tensor`, the memory of one sample.
  void write_row(const std::uint8_t* row, int y, std::byte* tensor) const;

 private:
  enum class Way : std::uint8_t { copy, shift, affine, table };
  void choose_way(const std::optional<Normalisation>& normalisation);

  template <typename T>
  void look_up(const std::uint8_t* row, int y, std::byte* tensor) const;
  void write_affine(const std::uint8_t* row, int y, std::byte* tensor) const;

  std::vector<std::byte> table_;  ///< 256 elements for each channel.
  std::size_t element_bytes_ = 1;
  DataType datatype_ = DataType::uint8;
  wire::TensorLayout layout_ = wire::TensorLayout::nhwc;
  Way way_ = Way::copy;
  std::uint8_t shift_ = 0;
  std::vector<float> centres_;  ///< For `affine`, (pixel - centre) / divisor: one a byte of a row.
  std::vector<float> divisors_;
  std::size_t channels_ = 0;
  std::size_t width_ = 0;
  std::size_t height_ = 0;
};

}  // namespace verge::processing
