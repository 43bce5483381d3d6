#include <cstring>

#include <png.h>

#include "codecs.hpp"

namespace verge::processing {
namespace {

/// libpng's simplified reader and writer keep memory until they are told to free it.
struct PngImage : png_image {
  PngImage() : png_image() { version = PNG_IMAGE_VERSION; }
  ~PngImage() { png_image_free(this); }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;
};

png_uint_32 png_format(PixelFormat format) {
  switch (format) {
    case PixelFormat::rgb: return PNG_FORMAT_RGB;
    case PixelFormat::bgr: return PNG_FORMAT_BGR;
    case PixelFormat::grey: return PNG_FORMAT_GRAY;
  }
  return PNG_FORMAT_RGB;
}

}  // namespace

Result<void> decode_png(std::span<const std::byte> content, PixelFormat format, const ImageLimits& limits,
                        std::vector<std::uint8_t>& scratch, Image& image) {
  PngImage png;
  if (png_image_begin_read_from_memory(&png, content.data(), content.size()) == 0) {
    return corrupt_image("PNG", png.message);
  }
  if (std::uint64_t{png.width} * png.height > limits.max_pixels) return too_many_pixels(png.width, png.height, limits);
  // 16-bit files are taken as sRGB, not as linear light: nothing but the low byte is lost.
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  const bool has_alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  // Grey pictures are read as such and colours converted by us, so that PNG and JPEG give the same grey.
  const bool is_grey = (png.format & PNG_FORMAT_FLAG_COLOR) == 0;
  const PixelFormat stored = is_grey ? PixelFormat::grey : format == PixelFormat::grey ? PixelFormat::rgb : format;
  png.format = png_format(stored) | (has_alpha ? PNG_FORMAT_FLAG_ALPHA : 0U);
  const auto width = static_cast<int>(png.width);
  const auto height = static_cast<int>(png.height);
  if (!has_alpha && stored == format) {
    image.reshape(width, height, format);
    if (png_image_finish_read(&png, nullptr, image.row(0), static_cast<png_int_32>(image.stride_bytes()), nullptr) == 0) {
      return corrupt_image("PNG", png.message);
    }
    return {};
  }
  scratch.resize(PNG_IMAGE_SIZE(png));
  const std::size_t pixel_bytes = PNG_IMAGE_PIXEL_SIZE(png.format);
  if (png_image_finish_read(&png, nullptr, scratch.data(), 0, nullptr) == 0) return corrupt_image("PNG", png.message);
  const std::size_t colour_bytes = static_cast<std::size_t>(channels(stored));
  const std::size_t pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  if (has_alpha) {
    for (std::size_t i = 1; i < pixels; ++i) {
      std::memmove(scratch.data() + i * colour_bytes, scratch.data() + i * pixel_bytes, colour_bytes);
    }
  }
  copy_pixels({scratch.data(), width, height, static_cast<std::size_t>(width) * colour_bytes, stored}, format, image);
  return {};
}

Result<std::vector<std::byte>> encode_png(const ImageView& image) {
  PngImage png;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = png_format(image.format);
  png.flags = PNG_IMAGE_FLAG_FAST;
  png_alloc_size_t size_bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<std::byte> content(size_bytes);
  if (png_image_write_to_memory(&png, content.data(), &size_bytes, 0, image.data,
                                static_cast<png_int_32>(image.stride_bytes), nullptr) == 0) {
    return Error(ErrorCode::internal, "VRG-IMG-005", std::string("cannot write a PNG: ") + png.message);
  }
  content.resize(size_bytes);
  return content;
}

}  // namespace verge::processing
