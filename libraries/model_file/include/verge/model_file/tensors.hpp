// Tensors inside model files: where the weights lie, and what they are, without an engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace verge::model_file {

/// How the bytes of a tensor are to be read. Little-endian, as in every format here.
enum class ElementKind : std::uint8_t { int8, int16, int32, int64, float16, bfloat16, float32, float64 };
inline constexpr std::size_t kElementKinds = 8;

/// Bytes of one element.
[[nodiscard]] std::size_t size_bytes(ElementKind kind) noexcept;

struct FileTensor {
  std::string name;
  ElementKind kind = ElementKind::int8;
  std::uint64_t offset_bytes = 0;  ///< In the file; not aligned.
  std::uint64_t size_bytes = 0;    ///< A multiple of the element's size, more than 0.
};

/// Smaller ones are not told: nothing is gained by treating them apart.
inline constexpr std::size_t kSmallestTensor_bytes = 1024;

/// Tensors of an ONNX, TensorFlow Lite, safetensors or ExecuTorch file, in the order of their bytes; none overlaps
/// another. What is no such file, or is damaged, has none. Nothing in the file is believed; names may come twice.
[[nodiscard]] std::vector<FileTensor> find_tensors(std::span<const std::byte> file);

/// The same of an OpenVINO IR's weights (.bin), which only its description (.xml) tells.
[[nodiscard]] std::vector<FileTensor> find_ir_tensors(std::string_view xml, std::uint64_t bin_size_bytes);

}  // namespace verge::model_file
