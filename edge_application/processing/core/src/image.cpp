#include "verge/processing/image.hpp"

#include <cassert>
#include <cstring>

namespace verge::processing {
namespace {

/// Pillow's fixed-point weights of ITU-R 601.
std::uint8_t luma(std::uint32_t red, std::uint32_t green, std::uint32_t blue) {
  return static_cast<std::uint8_t>((red * 19595U + green * 38470U + blue * 7471U + 0x8000U) >> 16U);
}

void copy_row(const std::uint8_t* from, PixelFormat from_format, std::uint8_t* to, PixelFormat to_format, int width) {
  const auto pixels = static_cast<std::size_t>(width);
  if (from_format == to_format) {
    std::memcpy(to, from, pixels * static_cast<std::size_t>(channels(to_format)));
  } else if (from_format == PixelFormat::grey) {
    for (std::size_t x = 0; x < pixels; ++x) to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = from[x];
  } else if (to_format == PixelFormat::grey) {
    const std::size_t red = from_format == PixelFormat::rgb ? 0 : 2;
    for (std::size_t x = 0; x < pixels; ++x) to[x] = luma(from[3 * x + red], from[3 * x + 1], from[3 * x + 2 - red]);
  } else {
    for (std::size_t x = 0; x < pixels; ++x) {
      to[3 * x] = from[3 * x + 2];
      to[3 * x + 1] = from[3 * x + 1];
      to[3 * x + 2] = from[3 * x];
    }
  }
}

}  // namespace

void Image::reshape(int width, int height, PixelFormat format) {
  assert(width > 0 && height > 0);
  constexpr std::size_t kPaddingBytes = 64;  // Vector code may read past the last pixel.
  width_ = width;
  height_ = height;
  format_ = format;
  stride_bytes_ = static_cast<std::size_t>(width) * static_cast<std::size_t>(channels(format));
  const std::size_t needed = stride_bytes_ * static_cast<std::size_t>(height) + kPaddingBytes;
  if (pixels_.size() < needed) pixels_.resize(needed);
}

void copy_pixels(const ImageView& from, PixelFormat format, Image& to) {
  to.reshape(from.width, from.height, format);
  for (int y = 0; y < from.height; ++y) copy_row(from.row(y), from.format, to.row(y), format, from.width);
}

}  // namespace verge::processing
