// Image: 8-bit pixels in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace verge::processing {

/// Order of the channels of a pixel.
enum class PixelFormat : std::uint8_t { rgb, bgr, grey };

[[nodiscard]] constexpr int channels(PixelFormat format) noexcept {
  return format == PixelFormat::grey ? 1 : 3;
}

/// Width and height in pixels.
struct ImageSize {
  int width = 0;
  int height = 0;
  bool operator==(const ImageSize&) const = default;
};

/// Size of the picture that is wanted in the end: a decoder that can give a smaller picture cheaply may do so while
/// both sides stay at least twice as long. 0 × 0: the whole picture is needed.
struct ScaleHint {
  int min_width = 0;
  int min_height = 0;
};

/// Pixels that somebody else owns: rows of interleaved 8-bit channels, the top row first.
struct ImageView {
  const std::uint8_t* data = nullptr;
  int width = 0;                 ///< Pixels.
  int height = 0;                ///< Pixels.
  std::size_t stride_bytes = 0;  ///< From the start of one row to the next.
  PixelFormat format = PixelFormat::rgb;

  [[nodiscard]] const std::uint8_t* row(int y) const noexcept {
    return data + static_cast<std::size_t>(y) * stride_bytes;
  }
  [[nodiscard]] bool empty() const noexcept { return width <= 0 || height <= 0 || data == nullptr; }
};

/// Pixels with memory of their own, which is kept when the image shrinks, so that a reused image allocates nothing.
class Image {
 public:
  Image() = default;
  Image(int width, int height, PixelFormat format) { reshape(width, height, format); }

  /// Gives the image a size; the content is then unspecified. Sizes must be positive.
  void reshape(int width, int height, PixelFormat format);

  [[nodiscard]] int width() const noexcept { return width_; }
  [[nodiscard]] int height() const noexcept { return height_; }
  [[nodiscard]] PixelFormat format() const noexcept { return format_; }
  [[nodiscard]] std::size_t stride_bytes() const noexcept { return stride_bytes_; }
  [[nodiscard]] std::uint8_t* row(int y) noexcept {
    return pixels_.data() + static_cast<std::size_t>(y) * stride_bytes_;
  }
  [[nodiscard]] const std::uint8_t* row(int y) const noexcept {
    return pixels_.data() + static_cast<std::size_t>(y) * stride_bytes_;
  }
  [[nodiscard]] ImageView view() const noexcept { return {pixels_.data(), width_, height_, stride_bytes_, format_}; }
  [[nodiscard]] bool empty() const noexcept { return width_ == 0; }

 private:
  std::vector<std::uint8_t> pixels_;
  int width_ = 0;
  int height_ = 0;
  std::size_t stride_bytes_ = 0;
  PixelFormat format_ = PixelFormat::rgb;
};

/// Copies pixels, changing the channel order where needed (grey to colour repeats, colour to grey weighs as ITU-R 601).
void copy_pixels(const ImageView& from, PixelFormat format, Image& to);

}  // namespace verge::processing
