#include "wav.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace verge::processing {
namespace {

constexpr std::size_t kFrameLimit = std::size_t{1} << 28U;  // An hour and a half at 48 kHz.
constexpr std::uint16_t kPcm = 1;
constexpr std::uint16_t kFloat = 3;
constexpr std::uint16_t kExtensible = 0xFFFE;

template <typename T>
T number(std::span<const std::byte> bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

Error unsupported(const std::string& what) {
  return {ErrorCode::invalid_argument, "VRG-FEA-010",
          "expected a WAV file (PCM of 8, 16, 24 or 32 bits, or float32, 1 to 8 channels), got " + what +
              "; convert it, for example: ffmpeg -i sound -c:a pcm_s16le sound.wav"};
}

struct Format {
  std::uint16_t coding = 0;
  unsigned channels = 0;
  unsigned sample_rate = 0;
  unsigned bits = 0;
};

Result<Format> read_format(std::span<const std::byte> chunk) {
  constexpr std::size_t kLeast = 16;
  constexpr std::size_t kExtension = 26;
  if (chunk.size() < kLeast) return unsupported("a format chunk that is too short");
  Format format{number<std::uint16_t>(chunk, 0), number<std::uint16_t>(chunk, 2), number<std::uint32_t>(chunk, 4),
                number<std::uint16_t>(chunk, 14)};
  if (format.coding == kExtensible && chunk.size() >= kExtension) format.coding = number<std::uint16_t>(chunk, 24);
  const bool pcm =
      format.coding == kPcm && (format.bits == 8 || format.bits == 16 || format.bits == 24 || format.bits == 32);
  const bool floating = format.coding == kFloat && format.bits == 32;
  if (!pcm && !floating) return unsupported(fmt::format("coding {} with {} bits", format.coding, format.bits));
  if (format.channels < 1 || format.channels > 8) return unsupported(fmt::format("{} channels", format.channels));
  if (format.sample_rate < 1000 || format.sample_rate > 384'000) {
    return unsupported(fmt::format("a sample rate of {}", format.sample_rate));
  }
  return format;
}

float value(const Format& format, std::span<const std::byte> data, std::size_t at) {
  switch (format.bits) {
    case 8: return (static_cast<float>(std::to_integer<unsigned>(data[at])) - 128.0F) / 128.0F;
    case 16: return static_cast<float>(number<std::int16_t>(data, at)) / 32768.0F;
    case 24: {
      const auto low = std::to_integer<std::uint32_t>(data[at]) | (std::to_integer<std::uint32_t>(data[at + 1]) << 8U);
      const auto bits = (low | (std::to_integer<std::uint32_t>(data[at + 2]) << 16U)) << 8U;
      return static_cast<float>(static_cast<std::int32_t>(bits)) / 2147483648.0F;
    }
    default: break;
  }
  if (format.coding == kFloat) {
    const auto sample = number<float>(data, at);
    return std::isfinite(sample) ? sample : 0.0F;
  }
  return static_cast<float>(number<std::int32_t>(data, at)) / 2147483648.0F;
}

Result<void> read_samples(const Format& format, std::span<const std::byte> data, std::vector<float>& samples) {
  const std::size_t width = format.bits / 8;
  const std::size_t frames = data.size() / (width * format.channels);
  if (frames > kFrameLimit) {
    return Error(ErrorCode::resource_exhausted, "VRG-FEA-014",
                 fmt::format("expected a sound of at most {} samples, got {}; send it in pieces", kFrameLimit, frames));
  }
  samples.resize(frames);
  for (std::size_t i = 0; i < frames; ++i) {
    float sum = 0;
    for (std::size_t c = 0; c < format.channels; ++c) sum += value(format, data, (i * format.channels + c) * width);
    samples[i] = sum / static_cast<float>(format.channels);
  }
  return {};
}

}  // namespace

Result<unsigned> read_wav(std::span<const std::byte> content, std::vector<float>& samples) {
  constexpr std::size_t kHead = 12;
  constexpr std::size_t kChunkHead = 8;
  const auto tag = [&](std::size_t at) {
    return std::string_view(reinterpret_cast<const char*>(content.data()) + at, 4);
  };
  if (content.size() < kHead || tag(0) != "RIFF" || tag(8) != "WAVE") return unsupported("something else");
  std::optional<Format> format;
  for (std::size_t at = kHead; at + kChunkHead <= content.size();) {
    const auto name = tag(at);
    const auto declared = number<std::uint32_t>(content, at + 4);
    at += kChunkHead;
    const std::size_t left = content.size() - at;
    if (name == "data") {
      if (!format) return unsupported("no format before the data");
      // A recorder that could not go back leaves 0 or the largest number: then the data goes on to the end.
      const bool open = declared == 0 || declared == 0xFFFFFFFFU;
      if (!open && declared > left) {
        return Error(
            ErrorCode::data_loss, "VRG-FEA-013",
            fmt::format("the WAV file ends early: expected {} bytes of sound, got {}; send it again", declared, left));
      }
      VERGE_TRY(read_samples(*format, content.subspan(at, open ? left : declared), samples));
      return format->sample_rate;
    }
    if (declared > left) break;
    if (name == "fmt ") {
      VERGE_ASSIGN(format, read_format(content.subspan(at, declared)));
    }
    at += declared + (declared % 2);  // Chunks begin at even places.
  }
  return unsupported("a file without sound");
}

}  // namespace verge::processing
