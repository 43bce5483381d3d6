// One decoder for each format; each checks the limits before it allocates.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "arena.hpp"
#include "verge/base/error.hpp"
#include "verge/processing/image.hpp"
#include "verge/processing/image_decoder.hpp"

namespace verge::processing {

Error too_many_pixels(std::uint64_t width, std::uint64_t height, const ImageLimits& limits);
Error corrupt_image(std::string_view format, std::string_view why);

/// EXIF orientation 1 … 8 of an APP1 segment (after its length); 1 when absent or senseless.
int exif_orientation(std::span<const std::byte> segment) noexcept;
/// Turns `from` as `orientation` (2 … 8) says.
void orient(const Image& from, int orientation, Image& to);

struct JpegPicture {
  ImageSize size;   ///< As stored: not scaled, not turned.
  int orientation;  ///< EXIF, 1 … 8.
};

class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  /// Does not turn the pixels. `hint` is meant for the turned picture.
  Result<JpegPicture> decode(std::span<const std::byte> content, PixelFormat format, const ImageLimits& limits,
                             ScaleHint hint, Image& image);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class PngDecoder {
 public:
  Result<void> decode(std::span<const std::byte> content, PixelFormat format, const ImageLimits& limits, Image& image);

 private:
  Arena arena_;
  Image stored_;  ///< The picture in the channels of the file, when those are others than wanted.
};

Result<void> decode_bmp(std::span<const std::byte> content, PixelFormat format, const ImageLimits& limits, Arena& arena,
                        Image& image);

}  // namespace verge::processing
