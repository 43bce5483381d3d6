#include "values.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace verge::processing {
namespace {

constexpr std::size_t kPixelValues = 256;

template <typename T>
void store_integer(double value, std::byte* at) {
  const auto low = static_cast<double>(std::numeric_limits<T>::min());
  const auto high = static_cast<double>(std::numeric_limits<T>::max());
  const double rounded = std::nearbyint(value);
  T stored{};
  if (rounded >= high) {
    stored = std::numeric_limits<T>::max();
  } else if (rounded > low) {
    stored = static_cast<T>(rounded);
  } else {
    stored = std::numeric_limits<T>::min();
  }
  std::memcpy(at, &stored, sizeof(T));
}

void store_element(double value, DataType datatype, std::byte* at) {
  switch (datatype) {
    case DataType::uint8: store_integer<std::uint8_t>(value, at); return;
    case DataType::uint16: store_integer<std::uint16_t>(value, at); return;
    case DataType::uint32: store_integer<std::uint32_t>(value, at); return;
    case DataType::uint64: store_integer<std::uint64_t>(value, at); return;
    case DataType::int8: store_integer<std::int8_t>(value, at); return;
    case DataType::int16: store_integer<std::int16_t>(value, at); return;
    case DataType::int32: store_integer<std::int32_t>(value, at); return;
    case DataType::int64: store_integer<std::int64_t>(value, at); return;
    default: break;
  }
  if (datatype == DataType::fp64) {
    std::memcpy(at, &value, sizeof(value));
    return;
  }
  const auto single = static_cast<float>(value);
  // Cannot fail: the sizes agree, and compile() refused the types that are no numbers.
  static_cast<void>(
      store_values(std::span(&single, 1), std::nullopt, {datatype, {}, at, size_bytes(datatype)}).has_value());
}

}  // namespace

double quantised(double value, const Quantisation& quantisation) noexcept {
  return std::nearbyint(value / static_cast<double>(quantisation.scale)) + quantisation.zero_point;
}

ValueWriter::ValueWriter(const std::optional<Normalisation>& normalisation,
                         const std::optional<Quantisation>& quantisation, DataType datatype, wire::TensorLayout layout,
                         int channels, int width, int height)
    : element_bytes_(size_bytes(datatype)),
      datatype_(datatype),
      layout_(layout),
      channels_(static_cast<std::size_t>(channels)),
      width_(static_cast<std::size_t>(width)),
      height_(static_cast<std::size_t>(height)) {
  const Normalisation used = normalisation.value_or(Normalisation{});
  table_.resize(channels_ * kPixelValues * element_bytes_);
  for (std::size_t c = 0; c < channels_; ++c) {
    for (std::size_t p = 0; p < kPixelValues; ++p) {
      double value = static_cast<double>(p) * used.factor.at(c) + used.offset.at(c);
      if (quantisation) {
        value = quantised(value, *quantisation);
      } else if (!normalisation && datatype == DataType::int8) {
        value -= 128.0;
      }
      store_element(value, datatype, table_.data() + (c * kPixelValues + p) * element_bytes_);
    }
  }
  choose_way(normalisation);
}

void ValueWriter::choose_way(const std::optional<Normalisation>& normalisation) {
  way_ = Way::table;
  if (datatype_ == DataType::fp32) {
    const Normalisation used = normalisation.value_or(Normalisation{});
    if (std::ranges::any_of(used.factor, [](double factor) { return factor == 0.0; })) return;
    way_ = Way::affine;
    // A quotient, as in the training code: pixel / 255 and pixel * (1 / 255) differ in the last bit of a float.
    for (std::size_t i = 0; i < width_ * channels_; ++i) {
      const double factor = used.factor.at(i % channels_);
      centres_.push_back(static_cast<float>(-used.offset.at(i % channels_) / factor));
      divisors_.push_back(static_cast<float>(1.0 / factor));
    }
  } else if (element_bytes_ == 1) {
    shift_ = static_cast<std::uint8_t>(table_[0]);
    bool shifts = true;
    for (std::size_t i = 0; i < table_.size(); ++i) {
      shifts = shifts && table_[i] == static_cast<std::byte>((i + shift_) % kPixelValues);
    }
    if (shifts) way_ = shift_ == 0 ? Way::copy : Way::shift;
  }
  if ((way_ == Way::copy || way_ == Way::shift) && layout_ == wire::TensorLayout::nchw && channels_ > 1) {
    way_ = Way::table;
  }
}

template <typename T>
void ValueWriter::look_up(const std::uint8_t* row, int y, std::byte* tensor) const {
  const auto* table = reinterpret_cast<const T*>(table_.data());
  auto* out = reinterpret_cast<T*>(tensor);
  const std::size_t line = static_cast<std::size_t>(y) * width_;
  if (channels_ == 1) {
    for (std::size_t x = 0; x < width_; ++x) out[line + x] = table[row[x]];
  } else if (layout_ == wire::TensorLayout::nhwc) {
    T* at = out + line * 3;
    for (std::size_t i = 0; i < width_ * 3; i += 3) {
      at[i] = table[row[i]];
      at[i + 1] = table[kPixelValues + row[i + 1]];
      at[i + 2] = table[2 * kPixelValues + row[i + 2]];
    }
  } else {
    for (std::size_t c = 0; c < channels_; ++c) {
      T* at = out + c * width_ * height_ + line;
      const T* of_channel = table + c * kPixelValues;
      for (std::size_t x = 0; x < width_; ++x) at[x] = of_channel[row[x * channels_ + c]];
    }
  }
}

void ValueWriter::write_affine(const std::uint8_t* row, int y, std::byte* tensor) const {
  auto* out = reinterpret_cast<float*>(tensor);
  const std::size_t line = static_cast<std::size_t>(y) * width_;
  if (layout_ == wire::TensorLayout::nhwc || channels_ == 1) {
    float* at = out + line * channels_;
    const float* centres = centres_.data();
    const float* divisors = divisors_.data();
    for (std::size_t i = 0; i < width_ * channels_; ++i)
      at[i] = (static_cast<float>(row[i]) - centres[i]) / divisors[i];
    return;
  }
  for (std::size_t c = 0; c < channels_; ++c) {
    float* at = out + c * width_ * height_ + line;
    const float centre = centres_[c];
    const float divisor = divisors_[c];
    for (std::size_t x = 0; x < width_; ++x) at[x] = (static_cast<float>(row[x * channels_ + c]) - centre) / divisor;
  }
}

void ValueWriter::write_row(const std::uint8_t* row, int y, std::byte* tensor) const {
  const std::size_t row_bytes = width_ * channels_;
  std::byte* line = tensor + static_cast<std::size_t>(y) * row_bytes;
  switch (way_) {
    case Way::copy: std::memcpy(line, row, row_bytes); return;
    case Way::shift:
      for (std::size_t i = 0; i < row_bytes; ++i) line[i] = static_cast<std::byte>(row[i] + shift_);
      return;
    case Way::affine: write_affine(row, y, tensor); return;
    case Way::table: break;
  }
  switch (element_bytes_) {
    case 1: look_up<std::uint8_t>(row, y, tensor); return;
    case 2: look_up<std::uint16_t>(row, y, tensor); return;
    case 4: look_up<std::uint32_t>(row, y, tensor); return;
    default: look_up<std::uint64_t>(row, y, tensor); return;
  }
}

}  // namespace verge::processing
