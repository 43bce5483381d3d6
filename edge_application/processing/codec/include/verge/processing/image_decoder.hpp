// Image decoder and encoder: JPEG, PNG and BMP bytes to pixels, pixels to PNG and JPEG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/image.hpp"

namespace verge::processing {

/// What a decoder accepts.
struct ImageLimits {
  std::uint64_t max_pixels = 50'000'000;  ///< Width × height, checked before any pixel is decoded.
};

/// Decodes pictures. Keeps its memory between pictures: JPEGs and PNGs of a size seen before allocate nothing.
/// Used by one thread at a time.
class ImageDecoder {
 public:
  explicit ImageDecoder(ImageLimits limits = {});
  ~ImageDecoder();
  ImageDecoder(ImageDecoder&&) noexcept;
  ImageDecoder& operator=(ImageDecoder&&) noexcept;

  /// Decodes by the content's own signature and turns the picture as its EXIF orientation says. Transparency is
  /// dropped, as Pillow's convert("RGB") does. With a `hint`, JPEGs are decoded at 1/2, 1/4 or 1/8 of their size while
  /// both sides stay at least twice the hint's; the other formats ignore it.
  /// Gives the true size of the picture (turned, not scaled), which is `image`'s size when no hint was given.
  /// Errors: unimplemented (VRG-IMG-001 not JPEG, PNG or BMP), resource_exhausted (VRG-IMG-002 too many pixels),
  /// data_loss (VRG-IMG-003 truncated or corrupt).
  Result<ImageSize> decode(std::span<const std::byte> content, PixelFormat format, Image& image, ScaleHint hint = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// PNG bytes of a picture. Errors: internal (out of memory in libpng).
Result<std::vector<std::byte>> encode_png(const ImageView& image);
/// Appends JPEG bytes of a picture; `quality` 1 … 100. Errors: invalid_argument (VRG-IMG-006 a side is above 65500
/// pixels), internal (VRG-IMG-005 out of memory in libjpeg).
Result<void> append_jpeg(const ImageView& image, int quality, std::string& out);

}  // namespace verge::processing
