#include <cstdlib>

#include <fmt/format.h>

#include "jpeg_error.hpp"
#include "verge/processing/image_decoder.hpp"

namespace verge::processing {
namespace {

J_COLOR_SPACE colour_space(PixelFormat format) {
  switch (format) {
    case PixelFormat::rgb: return JCS_RGB;
    case PixelFormat::bgr: return JCS_EXT_BGR;
    case PixelFormat::grey: return JCS_GRAYSCALE;
  }
  return JCS_UNKNOWN;
}

/// What outlives a jump.
struct Writing {
  jpeg_compress_struct compress;
  JpegErrorTrap trap;
  unsigned char* bytes;
  unsigned long size;
};

/// False when libjpeg gave up; no object with a destructor lives in here.
bool write(Writing& w, const ImageView& image, int quality) {
  if (setjmp(w.trap.jump) != 0) return false;
  jpeg_mem_dest(&w.compress, &w.bytes, &w.size);
  w.compress.image_width = static_cast<JDIMENSION>(image.width);
  w.compress.image_height = static_cast<JDIMENSION>(image.height);
  w.compress.input_components = channels(image.format);
  w.compress.in_color_space = colour_space(image.format);
  jpeg_set_defaults(&w.compress);
  jpeg_set_quality(&w.compress, quality, TRUE);
  jpeg_start_compress(&w.compress, TRUE);
  while (w.compress.next_scanline < w.compress.image_height) {
    // libjpeg only reads.
    JSAMPROW row = const_cast<std::uint8_t*>(image.row(static_cast<int>(w.compress.next_scanline)));
    jpeg_write_scanlines(&w.compress, &row, 1);
  }
  jpeg_finish_compress(&w.compress);
  return true;
}

}  // namespace

Result<void> append_jpeg(const ImageView& image, int quality, std::string& out) {
  if (image.width > JPEG_MAX_DIMENSION || image.height > JPEG_MAX_DIMENSION) {
    return Error(ErrorCode::invalid_argument, "VRG-IMG-006",
                 fmt::format("expected a picture of at most {0} × {0} pixels for a JPEG, got {1} × {2}",
                             JPEG_MAX_DIMENSION, image.width, image.height));
  }
  Writing writing{};
  writing.compress.err = jpeg_std_error(&writing.trap.base);
  writing.trap.base.error_exit = on_jpeg_error;
  jpeg_create_compress(&writing.compress);
  const bool written = write(writing, image, quality);
  if (written) out.append(reinterpret_cast<const char*>(writing.bytes), writing.size);
  jpeg_destroy_compress(&writing.compress);
  std::free(writing.bytes);  // NOLINT(cppcoreguidelines-no-malloc): libjpeg's.
  if (written) return {};
  return Error(ErrorCode::internal, "VRG-IMG-005", std::string("cannot write a JPEG: ") + writing.trap.message);
}

}  // namespace verge::processing
