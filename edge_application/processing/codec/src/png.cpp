#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <png.h>

#include "codecs.hpp"

namespace verge::processing {
namespace {

/// libpng's simplified writer keeps memory until it is told to free it.
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

/// What libpng's callbacks get.
struct Reading {
  Arena& arena;
  std::span<const std::byte> rest;
  std::jmp_buf jump;
  std::array<char, 128> message;
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto& reading = *static_cast<Reading*>(png_get_error_ptr(png));
  std::snprintf(reading.message.data(), reading.message.size(), "%s", message);
  std::longjmp(reading.jump, 1);
}

void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

png_voidp on_allocate(png_structp png, png_alloc_size_t size_bytes) {
  return static_cast<Reading*>(png_get_mem_ptr(png))->arena.allocate(size_bytes);
}

void on_free(png_structp /*png*/, png_voidp /*memory*/) {}  // The arena goes back as a whole.

void on_read(png_structp png, png_bytep out, std::size_t size_bytes) {
  auto& reading = *static_cast<Reading*>(png_get_io_ptr(png));
  if (size_bytes > reading.rest.size()) png_error(png, "it ends early");
  std::memcpy(out, reading.rest.data(), size_bytes);
  reading.rest = reading.rest.subspan(size_bytes);
}

/// Passes over what does not touch the pixels that we give: colour profiles and texts are also where bombs hide.
void ignore_side_chunks(png_structp png) {
  static constexpr png_byte kChunks[] =
      "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0"
      "sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0tRNS\0zTXt";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kChunks, static_cast<int>(sizeof(kChunks) / 5));
}

/// Whatever is stored becomes 8-bit grey or 8-bit colour.
PixelFormat ask_for_bytes(png_structp png, png_infop info, PixelFormat wanted) {
  const png_byte type = png_get_color_type(png, info);
  if (png_get_bit_depth(png, info) == 16) png_set_scale_16(png);
  if ((type & PNG_COLOR_MASK_ALPHA) != 0) png_set_strip_alpha(png);
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
  // Colours become grey by our own weights, so that every format gives the same grey.
  if ((type & PNG_COLOR_MASK_COLOR) == 0) return PixelFormat::grey;
  if (wanted == PixelFormat::bgr) png_set_bgr(png);
  return wanted == PixelFormat::bgr ? PixelFormat::bgr : PixelFormat::rgb;
}

}  // namespace

Result<void> PngDecoder::decode(std::span<const std::byte> content, PixelFormat format, const ImageLimits& limits,
                                Image& image) {
  arena_.reset();
  Reading reading{arena_, content, {}, {}};
  // From here on no object with a destructor is made: longjmp would skip it. All of libpng's memory is the arena's.
  if (setjmp(reading.jump) != 0) return corrupt_image("PNG", reading.message.data());
  png_structp png =
      png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reading, on_error, on_warning, &reading, on_allocate, on_free);
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  if (info == nullptr) return corrupt_image("PNG", "out of memory");
  png_set_read_fn(png, &reading, on_read);
  ignore_side_chunks(png);
  png_read_info(png, info);
  const std::uint64_t width = png_get_image_width(png, info);
  const std::uint64_t height = png_get_image_height(png, info);
  if (width * height > limits.max_pixels) return too_many_pixels(width, height, limits);
  const PixelFormat stored = ask_for_bytes(png, info, format);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  Image& target = stored == format ? image : stored_;
  target.reshape(static_cast<int>(width), static_cast<int>(height), stored);
  if (png_get_rowbytes(png, info) != target.stride_bytes()) return corrupt_image("PNG", "an unknown kind of pixel");
  for (int pass = 0; pass < passes; ++pass) {
    for (int y = 0; y < target.height(); ++y) png_read_row(png, target.row(y), nullptr);
  }
  png_read_end(png, nullptr);
  if (&target != &image) copy_pixels(target.view(), format, image);
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
