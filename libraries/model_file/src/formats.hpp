// The formats, each read on its own. A reader gives what it has found up to the first thing that makes no sense.
#pragma once

#include <optional>

#include "verge/model_file/tensors.hpp"

namespace verge::model_file {

using Bytes = std::span<const std::byte>;

/// A file has at most so many tensors; what comes behind them is not told.
inline constexpr std::size_t kMaxTensors = 100'000;

/// Adds a tensor that lies in the file and is worth it. False: it does not lie there.
bool add_tensor(std::vector<FileTensor>& tensors, std::uint64_t file_size_bytes, FileTensor tensor);

/// In the order of their bytes; of two that share bytes the first stays.
void put_in_order(std::vector<FileTensor>& tensors);

[[nodiscard]] std::vector<FileTensor> onnx_tensors(Bytes file);
[[nodiscard]] std::vector<FileTensor> tflite_tensors(Bytes file);
[[nodiscard]] std::vector<FileTensor> executorch_tensors(Bytes file);
[[nodiscard]] std::vector<FileTensor> safetensors_tensors(Bytes file);

}  // namespace verge::model_file
