// Any definition, read, compiled against an input and run over a picture. The last bytes choose the input.
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "verge/processing/preprocessor.hpp"

using namespace verge;
using namespace verge::processing;

namespace {

std::int64_t dimension(std::uint8_t byte) {
  return byte == 255 ? -1 : byte % 40;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  constexpr std::size_t kChoices = 9;
  if (size_bytes < kChoices) return 0;
  const std::uint8_t* choice = data + size_bytes - kChoices;
  const std::string_view yaml(reinterpret_cast<const char*>(data), size_bytes - kChoices);
  const auto node = wire::parse_yaml(yaml, "fuzz.yaml");
  if (!node) return 0;
  const auto definition = wire::read_preprocessing(*node, wire::Place("fuzz.yaml"));
  if (!definition) return 0;
  TensorSpec spec{"in", static_cast<DataType>(choice[0] % 14), {}, {}};
  for (std::size_t i = 0; i < std::size_t{choice[1]} % 5; ++i) spec.shape.push_back(dimension(choice[2 + i]));
  if ((choice[1] & 0x80U) != 0) spec.quantisation = Quantisation{static_cast<float>(choice[6]) / 16.0F, choice[7]};
  auto preprocessor = Preprocessor::compile(*definition, "fuzz.yaml", spec);
  if (!preprocessor) return 0;
  const auto shape = preprocessor->input_shape();
  const auto count = element_count(shape);
  constexpr std::size_t kMost = 1U << 20U;
  if (!count || *count > kMost) return 0;
  std::vector<std::byte> memory(*count * processing::size_bytes(spec.datatype));
  const TensorView input{spec.datatype, shape, memory.data(), memory.size()};
  const int width = 1 + choice[8] % 64;
  const int height = 1 + choice[7] % 64;
  const auto format = static_cast<PixelFormat>(choice[6] % 3);
  const std::size_t row_bytes = static_cast<std::size_t>(width) * static_cast<std::size_t>(channels(format));
  std::vector<std::uint8_t> pixels(row_bytes * static_cast<std::size_t>(height), choice[5]);
  const ImageView view{pixels.data(), width, height, row_bytes, format};
  const int times = 1 + choice[5] % 4;
  for (const ImageSize source : {ImageSize{width, height}, ImageSize{width * times, height * times}}) {
    const auto placement = preprocessor->run(view, source, input);
    static_cast<void>(placement.has_value());
  }
  const std::vector<std::byte> raw(*count * sizeof(float), std::byte{choice[4]});
  const auto result = preprocessor->run_values(raw, input);
  static_cast<void>(result.has_value());
  return 0;
}
