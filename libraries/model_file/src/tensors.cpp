#include "verge/model_file/tensors.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "formats.hpp"

namespace verge::model_file {
namespace {

bool has_mark(Bytes file, std::size_t at, std::string_view mark) {
  return file.size() >= at + mark.size() && std::memcmp(file.data() + at, mark.data(), mark.size()) == 0;
}

}  // namespace

std::size_t size_bytes(ElementKind kind) noexcept {
  constexpr std::array<std::uint8_t, kElementKinds> kSizes{1, 2, 4, 8, 2, 2, 4, 8};
  return kSizes.at(static_cast<std::size_t>(kind));
}

bool add_tensor(std::vector<FileTensor>& tensors, std::uint64_t file_size_bytes, FileTensor tensor) {
  const auto size = tensor.size_bytes;
  if (tensor.offset_bytes > file_size_bytes || size > file_size_bytes - tensor.offset_bytes) return false;
  tensor.size_bytes -= size % size_bytes(tensor.kind);
  if (tensor.size_bytes >= kSmallestTensor_bytes && tensors.size() < kMaxTensors) tensors.push_back(std::move(tensor));
  return true;
}

void put_in_order(std::vector<FileTensor>& tensors) {
  std::ranges::stable_sort(tensors, {}, &FileTensor::offset_bytes);
  std::uint64_t end = 0;
  std::erase_if(tensors, [&](const FileTensor& tensor) {
    if (tensor.offset_bytes < end) return true;
    end = tensor.offset_bytes + tensor.size_bytes;
    return false;
  });
}

std::vector<FileTensor> find_tensors(std::span<const std::byte> file) {
  std::vector<FileTensor> tensors;
  if (has_mark(file, 4, "TFL3")) {
    tensors = tflite_tensors(file);
  } else if (has_mark(file, 4, "ET12")) {
    tensors = executorch_tensors(file);
  } else if (has_mark(file, 8, "{")) {
    tensors = safetensors_tensors(file);
  } else {
    tensors = onnx_tensors(file);
  }
  put_in_order(tensors);
  return tensors;
}

}  // namespace verge::model_file
