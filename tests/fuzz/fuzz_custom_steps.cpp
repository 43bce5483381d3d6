// What a custom step's process says is foreign: its JSON with the content beside it, and its descriptions of tensors. A
// zero byte ends the JSON; then come the content, and once more the same bytes as tensors.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tensor_answer.hpp"
#include "verge/data_processing/prediction_reader.hpp"

using namespace verge;
using namespace verge::data_processing;

namespace {

/// Touches every byte that a view promises.
void read_all(const std::vector<processing::TensorView>& views) {
  volatile unsigned sum = 0;
  for (const auto& view : views) {
    for (const auto byte : view.bytes()) sum = sum + static_cast<unsigned>(byte);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::uint8_t* const end = std::find(data, data + size, std::uint8_t{0});
  const std::string_view json(reinterpret_cast<const char*>(data), static_cast<std::size_t>(end - data));
  const auto content = std::as_bytes(std::span(std::min(end + 1, data + size), data + size));
  static PredictionReader reader;  // Kept, as a worker keeps it.
  static processing::Prediction prediction;
  if (reader.read(json, content, prediction)) {
    std::string out;
    processing::append_json(prediction, out);
  }
  const std::array<processing::TensorSpec, 2> specs{
      processing::TensorSpec{"a", processing::DataType::fp32, {-1, 4}, {}},
      processing::TensorSpec{"b", processing::DataType::uint8, {3}, {}}};
  std::vector<StepTensor> tensors;
  std::vector<processing::TensorView> views;
  const std::vector<std::byte> made(4096);
  const auto whole = std::as_bytes(std::span(data, size));
  if (read_tensors(content, specs, made, tensors, views)) read_all(views);
  if (read_tensors(whole.first(std::min(size, sizeof(StepTensor))), std::span(specs).first(1), made, tensors, views)) {
    read_all(views);
  }
  return 0;
}
