// Any definition on any outputs: read, compiled, run and drawn. A zero byte ends the definition; then come the shapes
// and the values.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "verge/processing/postprocessor.hpp"
#include "verge/processing/rendering.hpp"

using namespace verge;
using namespace verge::processing;

namespace {

/// Bytes of the input, one after the other, then zeroes.
class Choices {
 public:
  explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::uint8_t next() {
    if (at_ >= bytes_.size()) return 0;
    return bytes_[at_++];
  }
  [[nodiscard]] std::span<const std::uint8_t> rest() const { return bytes_.subspan(at_); }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

struct Output {
  TensorSpec spec;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> memory;
};

Output make_output(Choices& choices, std::size_t index) {
  Output output;
  output.spec.name = "out" + std::to_string(index);
  output.spec.datatype = static_cast<DataType>(choices.next() % 13);
  const std::size_t rank = choices.next() % 5U;
  std::size_t elements = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::uint8_t byte = choices.next();
    const std::int64_t dimension = byte % 24;
    output.shape.push_back(dimension);
    output.spec.shape.push_back((byte & 0x80U) != 0 ? -1 : dimension);
    elements *= static_cast<std::size_t>(dimension);
  }
  constexpr std::size_t kMost = 1U << 14U;  // More of the same would only cost time.
  if (elements > kMost) {
    output.shape.clear();
    output.spec.shape.clear();
    elements = 1;
  }
  if (choices.next() % 2 == 1) output.spec.quantisation = Quantisation{0.25F, 3};
  output.memory.resize(elements * size_bytes(output.spec.datatype));
  return output;
}

void fill(std::vector<Output>& outputs, std::span<const std::uint8_t> values) {
  std::size_t at = 0;
  for (Output& output : outputs) {
    for (std::byte& byte : output.memory) {
      byte = values.empty() ? std::byte{0} : std::byte{values[at++ % values.size()]};
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::uint8_t* end = std::find(data, data + size, std::uint8_t{0});
  const std::string_view yaml(reinterpret_cast<const char*>(data), static_cast<std::size_t>(end - data));
  const auto node = wire::parse_yaml(yaml, "fuzz.yaml");
  if (!node) return 0;
  const auto definition = wire::read_postprocessing(*node, wire::Place("fuzz.yaml"));
  if (!definition) return 0;
  Choices choices(std::span(std::min(end + 1, data + size), data + size));
  std::vector<Output> outputs;
  const std::size_t count = 1 + choices.next() % 4U;
  for (std::size_t i = 0; i < count; ++i) outputs.push_back(make_output(choices, i));
  const int width = choices.next();
  const int height = choices.next();
  const float scale = static_cast<float>(choices.next()) / 32.0F;
  fill(outputs, choices.rest());
  std::vector<TensorSpec> specs;
  std::vector<TensorView> views;
  for (Output& output : outputs) {
    specs.push_back(output.spec);
    views.push_back({output.spec.datatype, output.shape, output.memory.data(), output.memory.size()});
  }
  const TensorSpec input{"in", DataType::fp32, {1, 32, 32, 3}, {}};
  auto postprocessor = Postprocessor::compile(*definition, "fuzz.yaml", {}, input, specs);
  if (!postprocessor) return 0;
  const Placement placement{scale, scale, 1, -1, width, height, 32, 32, 0, 4, 32, 28};
  Prediction prediction;
  if (!postprocessor->run(views, placement, prediction)) return 0;
  std::string json;
  append_json(prediction, json);
  Image picture(48, 32, PixelFormat::rgb);
  std::memset(picture.row(0), 0, std::size_t{48} * 32 * 3);
  Image drawn;
  render_mask(prediction.mask, postprocessor->palette(), drawn);
  draw_overlay(picture.view(), prediction, postprocessor->palette(), drawn);
  return 0;
}
