// Any bytes as a picture: decoded, scaled and turned, or refused.
#include <cstdint>

#include "verge/processing/image_decoder.hpp"

using namespace verge::processing;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  if (size_bytes < 2) return 0;
  static ImageDecoder decoder(ImageLimits{.max_pixels = 1U << 20U});  // Kept: a failure must not harm the next picture.
  static Image image;
  const auto content = std::as_bytes(std::span(data, size_bytes)).first(size_bytes - 1);
  const std::uint8_t choice = data[size_bytes - 1];
  const auto format = static_cast<PixelFormat>(choice % 3);
  const ScaleHint hint = (choice & 0x40U) != 0 ? ScaleHint{8, 8} : ScaleHint{};
  const auto size = decoder.decode(content, format, image, hint);
  if (size && (image.width() <= 0 || image.height() <= 0 || size->width < image.width())) __builtin_trap();
  return 0;
}
