#include "verge/processing/tensor.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace verge::processing {
namespace {

struct TypeRow {
  std::string_view name;
  std::size_t size_bytes;
};

// In the order of DataType.
constexpr std::array<TypeRow, 14> kTypes{{
    {"BOOL", 1},
    {"UINT8", 1},
    {"UINT16", 2},
    {"UINT32", 4},
    {"UINT64", 8},
    {"INT8", 1},
    {"INT16", 2},
    {"INT32", 4},
    {"INT64", 8},
    {"FP16", 2},
    {"FP32", 4},
    {"FP64", 8},
    {"BF16", 2},
    {"BYTES", 0},
}};

/// Calls `visitor` with a zero of the C++ type behind `type`; half types come as std::uint16_t and are told by `type`.
template <typename Visitor>
bool visit_type(DataType type, Visitor&& visitor) {
  switch (type) {
    case DataType::uint8: visitor(std::uint8_t{}); return true;
    case DataType::uint16: visitor(std::uint16_t{}); return true;
    case DataType::uint32: visitor(std::uint32_t{}); return true;
    case DataType::uint64: visitor(std::uint64_t{}); return true;
    case DataType::int8: visitor(std::int8_t{}); return true;
    case DataType::int16: visitor(std::int16_t{}); return true;
    case DataType::int32: visitor(std::int32_t{}); return true;
    case DataType::int64: visitor(std::int64_t{}); return true;
    case DataType::fp32: visitor(float{}); return true;
    case DataType::fp64: visitor(double{}); return true;
    default: return false;
  }
}

template <typename T>
T saturate(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    if (std::isnan(value)) return T{0};
    const double rounded = std::nearbyint(value);
    if (rounded <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
    if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    return static_cast<T>(rounded);
  }
}

float bf16_to_float(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16U);
}
std::uint16_t float_to_bf16(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  bits += 0x7fffU + ((bits >> 16U) & 1U);
  return static_cast<std::uint16_t>(bits >> 16U);
}

}  // namespace

std::string_view name(DataType type) noexcept {
  return kTypes.at(static_cast<std::size_t>(type)).name;
}

std::optional<DataType> data_type(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes.at(i).name == name) return static_cast<DataType>(i);
  }
  return std::nullopt;
}

std::size_t size_bytes(DataType type) noexcept {
  return kTypes.at(static_cast<std::size_t>(type)).size_bytes;
}

std::string describe(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ","));
}

std::string describe(const TensorSpec& spec) {
  return fmt::format("{}{}", name(spec.datatype), describe(spec.shape));
}

std::optional<std::size_t> element_count(std::span<const std::int64_t> shape) noexcept {
  std::size_t count = 1;
  for (const auto dimension : shape) {
    if (dimension < 0) return std::nullopt;
    if (__builtin_mul_overflow(count, static_cast<std::size_t>(dimension), &count)) return std::nullopt;
  }
  return count;
}

float half_to_float(std::uint16_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000U) << 16U;
  const std::uint32_t exponent = (half >> 10U) & 0x1fU;
  const std::uint32_t mantissa = half & 0x3ffU;
  if (exponent == 0x1fU) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13U));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
  const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  return sign != 0 ? -magnitude : magnitude;
}

std::uint16_t float_to_half(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);
  if (magnitude >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);
  if (magnitude < 0x38800000U) {
    const float scaled = std::nearbyint(std::ldexp(std::bit_cast<float>(magnitude), 24));
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(scaled));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13U) & 1U);
  return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>((rounded - 0x38000000U) >> 13U));
}

Result<void> store_values(std::span<const float> values, const std::optional<Quantisation>& quantisation,
                          const TensorView& out) {
  if (out.size_bytes != values.size() * size_bytes(out.datatype)) {
    return Error(ErrorCode::invalid_argument, "VRG-PRC-001",
                 fmt::format("expected {} values for a tensor {}{}, got {}",
                             size_bytes(out.datatype) == 0 ? 0 : out.size_bytes / size_bytes(out.datatype),
                             name(out.datatype), describe(out.shape), values.size()));
  }
  if (out.datatype == DataType::fp16 || out.datatype == DataType::bf16) {
    const auto target = out.as<std::uint16_t>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      target[i] = out.datatype == DataType::fp16 ? float_to_half(values[i]) : float_to_bf16(values[i]);
    }
    return {};
  }
  const bool known = visit_type(out.datatype, [&](auto zero) {
    using T = decltype(zero);
    const auto target = out.as<T>();
    if (quantisation && std::is_integral_v<T>) {
      // Rounded before the zero point is added: halves go to even values, not to even stored numbers.
      const double zero_point = quantisation->zero_point;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double steps = static_cast<double>(values[i]) / static_cast<double>(quantisation->scale);
        target[i] = saturate<T>(std::nearbyint(steps) + zero_point);
      }
    } else {
      for (std::size_t i = 0; i < values.size(); ++i) target[i] = saturate<T>(static_cast<double>(values[i]));
    }
  });
  if (!known) {
    return Error(ErrorCode::unimplemented, "VRG-PRC-002",
                 fmt::format("numbers cannot be written into a tensor of type {}", name(out.datatype)));
  }
  return {};
}

Result<void> load_values(const TensorView& in, const std::optional<Quantisation>& quantisation,
                         std::vector<float>& values) {
  if (in.datatype == DataType::fp16 || in.datatype == DataType::bf16) {
    const auto source = in.as<const std::uint16_t>();
    values.resize(source.size());
    std::transform(source.begin(), source.end(), values.begin(),
                   in.datatype == DataType::fp16 ? half_to_float : bf16_to_float);
    return {};
  }
  if (in.datatype == DataType::bool_) {
    values.resize(in.size_bytes);
    std::transform(in.bytes().begin(), in.bytes().end(), values.begin(),
                   [](std::byte b) { return b == std::byte{0} ? 0.0F : 1.0F; });
    return {};
  }
  const bool known = visit_type(in.datatype, [&](auto zero) {
    using T = decltype(zero);
    const auto source = in.as<const T>();
    values.resize(source.size());
    if (quantisation && std::is_integral_v<T>) {
      const auto zero_point = static_cast<float>(quantisation->zero_point);
      for (std::size_t i = 0; i < source.size(); ++i) {
        values[i] = (static_cast<float>(source[i]) - zero_point) * quantisation->scale;
      }
    } else {
      for (std::size_t i = 0; i < source.size(); ++i) values[i] = static_cast<float>(source[i]);
    }
  });
  if (!known) {
    return Error(ErrorCode::unimplemented, "VRG-PRC-002",
                 fmt::format("numbers cannot be read from a tensor of type {}", name(in.datatype)));
  }
  return {};
}

}  // namespace verge::processing
