// Any bytes as a model file, or as the description of one: the tensors that are told lie in it and do not overlap.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "verge/model_file/tensors.hpp"

namespace {

void check(const std::vector<verge::model_file::FileTensor>& tensors, std::uint64_t size_bytes) {
  std::uint64_t end = 0;
  for (const auto& tensor : tensors) {
    if (tensor.offset_bytes < end || tensor.size_bytes == 0) std::abort();
    end = tensor.offset_bytes + tensor.size_bytes;
    if (end > size_bytes || end < tensor.offset_bytes) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  check(verge::model_file::find_tensors(std::as_bytes(std::span(data, size_bytes))), size_bytes);
  constexpr std::uint64_t kWeights_bytes = 100'000;
  check(verge::model_file::find_ir_tensors({reinterpret_cast<const char*>(data), size_bytes}, kWeights_bytes),
        kWeights_bytes);
  return 0;
}
