// Any bytes as a sound or as a row of a table: features that are numbers, or refused.
#include <cmath>
#include <cstdint>
#include <optional>

#include "verge/processing/features.hpp"

using namespace verge;
using namespace verge::processing;

namespace {

std::optional<Features> made(const char* yaml, std::vector<std::int64_t> shape) {
  const auto node = wire::parse_yaml(yaml, "preprocessing.yaml");
  auto definition = wire::read_preprocessing(*node, wire::Place("preprocessing.yaml"));
  auto features = Features::compile(*definition, "preprocessing.yaml", {"x", DataType::fp32, std::move(shape), {}});
  if (!features) __builtin_trap();
  return std::move(*features);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  static auto sound = made(
      "version: 1\nsample: audio\nsteps:\n  - audio: { sample_rate: 8000, duration_ms: 100, peak_normalise: true }\n"
      "  - spectrogram: { window: 256, stride: 128 }\n  - mel: { bands: 8, low_hz: 20, high_hz: 4000 }\n  - log:\n"
      "  - dct: { coefficients: 4 }\n",
      {1, 5, 4});
  static auto row = made(
      "version: 1\nsample: table\nsteps:\n  - columns: [{ name: a, missing: 1 }, { name: b, categories: [x, y] }]\n",
      {1, 3});
  if (size_bytes == 0) return 0;
  const bool is_sound = data[0] == 'R';
  auto& features = is_sound ? *sound : *row;
  const auto windows = features.prepare(std::as_bytes(std::span(data, size_bytes)));
  if (!windows) return 0;
  std::vector<float> values(is_sound ? 20 : 3);
  const TensorView view{DataType::fp32, {}, reinterpret_cast<std::byte*>(values.data()), values.size() * sizeof(float)};
  if (*windows != 1 || !features.fill(0, view)) __builtin_trap();
  return 0;
}
