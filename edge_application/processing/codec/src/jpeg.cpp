#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <jerror.h>
#include <jpeglib.h>

#include "arena.hpp"
#include "codecs.hpp"
#include "jpeg_error.hpp"

namespace verge::processing {
namespace {

struct Codec {
  jpeg_decompress_struct decompress;
  JpegErrorTrap trap;
  jpeg_progress_mgr progress;
  Arena arena;
  jpeg_memory_mgr original;
};

Codec& codec(j_common_ptr info) {
  return *static_cast<Codec*>(info->client_data);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  // A warning means that pixels are being made up. Only what does not touch the picture passes.
  if (info->err->msg_code != JWRN_EXTRANEOUS_DATA && info->err->msg_code != JWRN_ADOBE_XFORM &&
      info->err->msg_code != JWRN_JFIF_MAJOR && info->err->msg_code != JWRN_BOGUS_PROGRESSION) {
    on_jpeg_error(info);
  }
}

void on_progress(j_common_ptr info) {
  constexpr int kMostScans = 100;  // A progressive file of many tiny scans would keep us busy for hours.
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMostScans) {
    std::snprintf(codec(info).trap.message, sizeof(JpegErrorTrap::message), "more than %d scans", kMostScans);
    std::longjmp(codec(info).trap.jump, 1);
  }
}

void* arena_or_fail(j_common_ptr info, std::size_t size_bytes) {
  void* memory = codec(info).arena.allocate(size_bytes);
  if (memory == nullptr) ERREXIT1(info, JERR_OUT_OF_MEMORY, 0);
  return memory;
}

void* allocate_small(j_common_ptr info, int pool, std::size_t size_bytes) {
  if (pool != JPOOL_IMAGE) return codec(info).original.alloc_small(info, pool, size_bytes);
  return arena_or_fail(info, size_bytes);
}

void* allocate_large(j_common_ptr info, int pool, std::size_t size_bytes) {
  if (pool != JPOOL_IMAGE) return codec(info).original.alloc_large(info, pool, size_bytes);
  return arena_or_fail(info, size_bytes);
}

template <typename Element>
Element** allocate_rows(j_common_ptr info, std::size_t row_elements, JDIMENSION rows) {
  auto** table = static_cast<Element**>(arena_or_fail(info, rows * sizeof(Element*)));
  constexpr std::size_t kRound = 64;
  const std::size_t row_bytes = (row_elements * sizeof(Element) + kRound - 1) / kRound * kRound;
  auto* memory = static_cast<std::byte*>(arena_or_fail(info, row_bytes * rows));
  for (JDIMENSION i = 0; i < rows; ++i) table[i] = reinterpret_cast<Element*>(memory + row_bytes * i);
  return table;
}

JSAMPARRAY allocate_samples(j_common_ptr info, int pool, JDIMENSION row_samples, JDIMENSION rows) {
  if (pool != JPOOL_IMAGE) return codec(info).original.alloc_sarray(info, pool, row_samples, rows);
  return allocate_rows<JSAMPLE>(info, row_samples, rows);
}

JBLOCKARRAY allocate_blocks(j_common_ptr info, int pool, JDIMENSION row_blocks, JDIMENSION rows) {
  if (pool != JPOOL_IMAGE) return codec(info).original.alloc_barray(info, pool, row_blocks, rows);
  return allocate_rows<JBLOCK>(info, row_blocks, rows);
}

/// libjpeg's "virtual array" of a progressive picture's coefficients: here simply all of them, in memory.
struct Coefficients {
  JBLOCKARRAY rows;
  JDIMENSION count;
};

jvirt_barray_ptr request_coefficients(j_common_ptr info, int pool, boolean zeroed, JDIMENSION row_blocks,
                                      JDIMENSION rows, JDIMENSION most_rows) {
  if (pool != JPOOL_IMAGE) {
    return codec(info).original.request_virt_barray(info, pool, zeroed, row_blocks, rows, most_rows);
  }
  auto* array = static_cast<Coefficients*>(arena_or_fail(info, sizeof(Coefficients)));
  array->rows = allocate_rows<JBLOCK>(info, row_blocks, rows);
  array->count = rows;
  if (zeroed != FALSE) {
    for (JDIMENSION y = 0; y < rows; ++y) std::memset(array->rows[y], 0, row_blocks * sizeof(JBLOCK));
  }
  return reinterpret_cast<jvirt_barray_ptr>(array);
}

JBLOCKARRAY access_coefficients(j_common_ptr info, jvirt_barray_ptr pointer, JDIMENSION first, JDIMENSION count,
                                boolean /*writable*/) {
  const auto* array = reinterpret_cast<const Coefficients*>(pointer);
  if (first > array->count || count > array->count - first) ERREXIT(info, JERR_BAD_VIRTUAL_ACCESS);
  return array->rows + first;
}

void free_pool(j_common_ptr info, int pool) {
  codec(info).original.free_pool(info, pool);
  if (pool == JPOOL_IMAGE) codec(info).arena.reset();
}

void cmyk_to_format(const std::uint8_t* cmyk, PixelFormat format, bool inverted, std::uint8_t* out, int width) {
  const std::size_t red = format == PixelFormat::bgr ? 2 : 0;
  for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x) {
    const auto part = [&](std::size_t c) {
      const unsigned value = inverted ? cmyk[4 * x + c] : 255U - cmyk[4 * x + c];
      const unsigned key = inverted ? cmyk[4 * x + 3] : 255U - cmyk[4 * x + 3];
      return static_cast<std::uint8_t>((value * key + 127U) / 255U);
    };
    if (format == PixelFormat::grey) {
      out[x] = static_cast<std::uint8_t>((part(0) * 19595U + part(1) * 38470U + part(2) * 7471U + 0x8000U) >> 16U);
    } else {
      out[3 * x + red] = part(0);
      out[3 * x + 1] = part(1);
      out[3 * x + 2 - red] = part(2);
    }
  }
}

}  // namespace

struct JpegDecoder::State : Codec {};

JpegDecoder::JpegDecoder() : state_(std::make_unique<State>()) {
  Codec& c = *state_;
  c.decompress = {};
  c.decompress.err = jpeg_std_error(&c.trap.base);
  c.trap.base.error_exit = on_jpeg_error;
  c.trap.base.emit_message = on_message;
  c.decompress.client_data = &c;
  if (setjmp(c.trap.jump) != 0) std::abort();  // Only a library of another version fails to start.
  jpeg_create_decompress(&c.decompress);
  c.decompress.client_data = &c;
  c.progress = {};
  c.progress.progress_monitor = on_progress;
  c.decompress.progress = &c.progress;
  c.original = *c.decompress.mem;
  c.decompress.mem->alloc_small = allocate_small;
  c.decompress.mem->alloc_large = allocate_large;
  c.decompress.mem->alloc_sarray = allocate_samples;
  c.decompress.mem->alloc_barray = allocate_blocks;
  c.decompress.mem->request_virt_barray = request_coefficients;
  c.decompress.mem->access_virt_barray = access_coefficients;
  c.decompress.mem->free_pool = free_pool;
  jpeg_save_markers(&c.decompress, JPEG_APP0 + 1, 0xffff);
}

JpegDecoder::~JpegDecoder() {
  jpeg_destroy_decompress(&state_->decompress);
}

namespace {

int orientation_of(const jpeg_decompress_struct& info) {
  int orientation = 1;
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->marker == JPEG_APP0 + 1) {
      orientation = exif_orientation(std::as_bytes(std::span(marker->data, marker->data_length)));
    }
  }
  return orientation;
}

/// How many times smaller the picture may be decoded: 1, 2, 4 or 8.
unsigned reduction(std::uint64_t width, std::uint64_t height, ScaleHint hint) {
  if (hint.min_width <= 0 || hint.min_height <= 0) return 1;
  const std::uint64_t wanted_width = std::uint64_t{2} * static_cast<std::uint64_t>(hint.min_width);
  const std::uint64_t wanted_height = std::uint64_t{2} * static_cast<std::uint64_t>(hint.min_height);
  unsigned times = 8;
  while (times > 1 && (width / times < wanted_width || height / times < wanted_height)) times /= 2;
  return times;
}

void read_rows(Codec& c, PixelFormat format, bool cmyk, Image& image) {
  jpeg_decompress_struct& info = c.decompress;
  const bool inverted = info.saw_Adobe_marker != FALSE;
  auto* scratch = cmyk ? static_cast<std::uint8_t*>(allocate_large(reinterpret_cast<j_common_ptr>(&info), JPOOL_IMAGE,
                                                                   std::size_t{4} * info.output_width))
                       : nullptr;
  while (info.output_scanline < info.output_height) {
    const int y = static_cast<int>(info.output_scanline);
    JSAMPROW row = cmyk ? scratch : image.row(y);
    jpeg_read_scanlines(&info, &row, 1);
    if (cmyk) cmyk_to_format(scratch, format, inverted, image.row(y), image.width());
  }
}

}  // namespace

Result<JpegPicture> JpegDecoder::decode(std::span<const std::byte> content, PixelFormat format,
                                        const ImageLimits& limits, ScaleHint hint, Image& image) {
  Codec& c = *state_;
  jpeg_decompress_struct& info = c.decompress;
  // Between here and the end of the function no object with a destructor is made: longjmp would skip it.
  if (setjmp(c.trap.jump) != 0) {
    jpeg_abort_decompress(&info);
    return corrupt_image("JPEG", c.trap.message);
  }
  jpeg_abort_decompress(&info);  // The last picture may have ended early, by an exception for want of memory.
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(content.data()), content.size());
  jpeg_read_header(&info, TRUE);
  const std::uint64_t width = info.image_width;
  const std::uint64_t height = info.image_height;
  if (width == 0 || height == 0 || width * height > limits.max_pixels) {
    jpeg_abort_decompress(&info);
    return too_many_pixels(width, height, limits);
  }
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = cmyk                          ? JCS_CMYK
                         : format == PixelFormat::grey ? JCS_GRAYSCALE
                         : format == PixelFormat::rgb  ? JCS_EXT_RGB
                                                       : JCS_EXT_BGR;
  const int orientation = orientation_of(info);
  if (orientation >= 5) hint = {hint.min_height, hint.min_width};
  info.scale_num = 1;
  info.scale_denom = reduction(width, height, hint);
  jpeg_start_decompress(&info);
  image.reshape(static_cast<int>(info.output_width), static_cast<int>(info.output_height), format);
  read_rows(c, format, cmyk, image);
  jpeg_finish_decompress(&info);
  return JpegPicture{{static_cast<int>(width), static_cast<int>(height)}, orientation};
}

}  // namespace verge::processing
