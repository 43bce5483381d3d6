#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include <jpeglib.h>
#include <jerror.h>

#include "codecs.hpp"

namespace verge::processing {
namespace {

/// Memory of one picture, in blocks that are kept for the next.
class Arena {
 public:
  void* allocate(std::size_t size_bytes) {
    constexpr std::size_t kAlign = 64;  // What libjpeg-turbo's vector code expects of its buffers.
    size_bytes = (size_bytes + kAlign - 1) / kAlign * kAlign;
    while (block_ < blocks_.size() && blocks_[block_].size_bytes - used_ < size_bytes) {
      ++block_;
      used_ = 0;
    }
    if (block_ == blocks_.size()) {
      constexpr std::size_t kBlock = 256U << 10U;
      const std::size_t wanted = size_bytes > kBlock ? size_bytes : kBlock;
      void* memory = std::aligned_alloc(kAlign, wanted);
      if (memory == nullptr) return nullptr;
      blocks_.push_back({memory, wanted});
      used_ = 0;
    }
    void* result = static_cast<std::byte*>(blocks_[block_].memory) + used_;
    used_ += size_bytes;
    return result;
  }
  void reset() {
    block_ = 0;
    used_ = 0;
  }
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    for (const auto& block : blocks_) std::free(block.memory);
  }

 private:
  struct Block {
    void* memory;
    std::size_t size_bytes;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0;
  std::size_t used_ = 0;
};

/// What libjpeg hands back to us: its own structures first, ours behind them.
struct ErrorTrap {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

struct Codec {
  jpeg_decompress_struct decompress;
  ErrorTrap trap;
  jpeg_progress_mgr progress;
  Arena arena;
  jpeg_memory_mgr original;
};

Codec& codec(j_common_ptr info) { return *static_cast<Codec*>(info->client_data); }

[[noreturn]] void on_error(j_common_ptr info) {
  auto* trap = reinterpret_cast<ErrorTrap*>(info->err);
  info->err->format_message(info, trap->message);
  std::longjmp(trap->jump, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  // A warning means that pixels are being made up. Only what does not touch the picture passes.
  if (info->err->msg_code != JWRN_EXTRANEOUS_DATA && info->err->msg_code != JWRN_ADOBE_XFORM &&
      info->err->msg_code != JWRN_JFIF_MAJOR && info->err->msg_code != JWRN_BOGUS_PROGRESSION) {
    on_error(info);
  }
}

void on_progress(j_common_ptr info) {
  constexpr int kMostScans = 100;  // A progressive file of many tiny scans would keep us busy for hours.
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMostScans) {
    std::snprintf(codec(info).trap.message, sizeof(ErrorTrap::message), "more than %d scans", kMostScans);
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

void free_pool(j_common_ptr info, int pool) {
  codec(info).original.free_pool(info, pool);  // Progressive files keep their coefficients there.
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
  c.trap.base.error_exit = on_error;
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
  c.decompress.mem->free_pool = free_pool;
  jpeg_save_markers(&c.decompress, JPEG_APP0 + 1, 0xffff);
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&state_->decompress); }

Result<int> JpegDecoder::decode(std::span<const std::byte> content, PixelFormat format, const ImageLimits& limits,
                                Image& image) {
  Codec& c = *state_;
  jpeg_decompress_struct& info = c.decompress;
  // Between here and the end of the function no object with a destructor is made: longjmp would skip it.
  if (setjmp(c.trap.jump) != 0) {
    jpeg_abort_decompress(&info);
    return corrupt_image("JPEG", c.trap.message);
  }
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(content.data()), content.size());
  jpeg_read_header(&info, TRUE);
  const std::uint64_t width = info.image_width;
  const std::uint64_t height = info.image_height;
  if (width == 0 || height == 0 || width * height > limits.max_pixels) {
    jpeg_abort_decompress(&info);
    return too_many_pixels(width, height, limits);
  }
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  const bool inverted = info.saw_Adobe_marker != FALSE;
  info.out_color_space = cmyk                          ? JCS_CMYK
                         : format == PixelFormat::grey ? JCS_GRAYSCALE
                         : format == PixelFormat::rgb  ? JCS_EXT_RGB
                                                       : JCS_EXT_BGR;
  if (format == PixelFormat::grey && info.jpeg_color_space == JCS_RGB) {
    jpeg_abort_decompress(&info);
    return Error(ErrorCode::unimplemented, "VRG-IMG-004",
                 "expected a grey or YCbCr JPEG for a grey model, got one stored as RGB; save it as YCbCr");
  }
  int orientation = 1;
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->marker == JPEG_APP0 + 1) {
      orientation = exif_orientation(std::as_bytes(std::span(marker->data, marker->data_length)));
    }
  }
  jpeg_start_decompress(&info);
  image.reshape(static_cast<int>(width), static_cast<int>(height), format);
  auto* scratch = cmyk ? static_cast<std::uint8_t*>(allocate_large(reinterpret_cast<j_common_ptr>(&info), JPOOL_IMAGE,
                                                                   std::size_t{4} * width))
                       : nullptr;
  while (info.output_scanline < info.output_height) {
    const int y = static_cast<int>(info.output_scanline);
    JSAMPROW row = cmyk ? scratch : image.row(y);
    jpeg_read_scanlines(&info, &row, 1);
    if (cmyk) cmyk_to_format(scratch, format, inverted, image.row(y), image.width());
  }
  jpeg_finish_decompress(&info);
  return orientation;
}

}  // namespace verge::processing
