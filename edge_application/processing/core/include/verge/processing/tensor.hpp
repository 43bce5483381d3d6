// Tensor: description of, and view on, what goes into a model and comes out of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::processing {

/// Element types, with the names of the Open Inference Protocol.
enum class DataType : std::uint8_t {
  bool_,
  uint8,
  uint16,
  uint32,
  uint64,
  int8,
  int16,
  int32,
  int64,
  fp16,
  fp32,
  fp64,
  bf16,
  bytes,
};

/// "FP32"; never empty.
[[nodiscard]] std::string_view name(DataType type) noexcept;
/// The type called so, or nothing.
[[nodiscard]] std::optional<DataType> data_type(std::string_view name) noexcept;
/// Bytes of one element; 0 for `bytes`, whose elements vary.
[[nodiscard]] std::size_t size_bytes(DataType type) noexcept;

/// real = (stored - zero_point) * scale.
struct Quantisation {
  float scale = 1.0F;
  std::int32_t zero_point = 0;
  bool operator==(const Quantisation&) const = default;
};

/// What a model says of one of its tensors.
struct TensorSpec {
  std::string name;
  DataType datatype = DataType::fp32;
  std::vector<std::int64_t> shape;  ///< -1 is variable.
  std::optional<Quantisation> quantisation;
  bool operator==(const TensorSpec&) const = default;
};

/// "FP32[1,224,224,3]".
[[nodiscard]] std::string describe(const TensorSpec& spec);
[[nodiscard]] std::string describe(std::span<const std::int64_t> shape);
/// Product of the dimensions; nothing when one is variable, or the product does not fit.
[[nodiscard]] std::optional<std::size_t> element_count(std::span<const std::int64_t> shape) noexcept;

/// Memory of a tensor, row-major and little-endian. Owns nothing; copying it copies no content.
struct TensorView {
  DataType datatype = DataType::fp32;
  std::span<const std::int64_t> shape;
  std::byte* data = nullptr;
  std::size_t size_bytes = 0;

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data, size_bytes}; }
  /// Elements as T; the caller has checked `datatype`.
  template <typename T>
  [[nodiscard]] std::span<T> as() const noexcept {
    return {reinterpret_cast<T*>(data), size_bytes / sizeof(T)};
  }
};

/// IEEE half precision to and from float.
[[nodiscard]] float half_to_float(std::uint16_t half) noexcept;
[[nodiscard]] std::uint16_t float_to_half(float value) noexcept;

/// Writes `values` into `out` as the tensor's type, quantised when `quantisation` is given. Sizes must agree.
/// Errors: unimplemented for bool and bytes, invalid_argument for a wrong size.
Result<void> store_values(std::span<const float> values, const std::optional<Quantisation>& quantisation,
                          const TensorView& out);
/// Reads `in` into `values` as real numbers, dequantised when `quantisation` is given; `values` is resized.
Result<void> load_values(const TensorView& in, const std::optional<Quantisation>& quantisation,
                         std::vector<float>& values);

}  // namespace verge::processing
