#include "packed.hpp"

#include <lzma.h>
#define ZSTD_STATIC_LINKING_ONLY  // For frames without the mark that says what they are: the delta does.
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <new>

#include "delta_format.hpp"

namespace verge::delta {
namespace {

using Bytes = std::span<const std::byte>;

constexpr unsigned kMaxWindow_bits = 25;
constexpr unsigned kMinWindow_bits = 12;

/// Of a window that holds prefix and content, as far as one may be.
unsigned window_bits(std::uint64_t prefix_bytes, std::uint64_t content_bytes) {
  return std::clamp<unsigned>(static_cast<unsigned>(std::bit_width(prefix_bytes + content_bytes)), kMinWindow_bits,
                              kMaxWindow_bits);
}

struct ZstdFree {
  void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

std::vector<std::byte> zstd_packed(Bytes bytes, Bytes prefix, int level) {
  const std::unique_ptr<ZSTD_CCtx, ZstdFree> context(ZSTD_createCCtx());
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, static_cast<int>(window_bits(prefix.size(), bytes.size())));
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, 0);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_format, ZSTD_f_zstd1_magicless);
  ZSTD_CCtx_refPrefix(context.get(), prefix.data(), prefix.size());
  std::vector<std::byte> packed(ZSTD_compressBound(bytes.size()));
  const auto size = ZSTD_compress2(context.get(), packed.data(), packed.size(), bytes.data(), bytes.size());
  assert(ZSTD_isError(size) == 0);  // The buffer is as large as any frame can be.
  packed.resize(size);
  return packed;
}

/// What LZMA expects a byte from: bits of the one before, and of the place. The encoder's choice: the stream tells it.
struct Contexts {
  std::uint32_t byte_bits = LZMA_LC_DEFAULT;
  std::uint32_t literal_place_bits = LZMA_LP_DEFAULT;
  std::uint32_t place_bits = LZMA_PB_DEFAULT;
};

/// The one filter of a raw LZMA2 stream.
class LzmaFilters {
 public:
  LzmaFilters(Bytes prefix, std::uint64_t content_bytes, Contexts contexts = {}) {
    lzma_lzma_preset(&options_, LZMA_PRESET_EXTREME | 9U);
    options_.lc = contexts.byte_bits;
    options_.lp = contexts.literal_place_bits;
    options_.pb = contexts.place_bits;
    options_.dict_size = std::uint32_t{1} << window_bits(prefix.size(), content_bytes);
    options_.preset_dict = reinterpret_cast<const std::uint8_t*>(prefix.data());
    options_.preset_dict_size = static_cast<std::uint32_t>(prefix.size());
    filters_ = {lzma_filter{LZMA_FILTER_LZMA2, &options_}, lzma_filter{LZMA_VLI_UNKNOWN, nullptr}};
  }
  [[nodiscard]] const lzma_filter* get() const noexcept { return filters_.data(); }

 private:
  lzma_options_lzma options_{};
  std::array<lzma_filter, 2> filters_{};
};

/// Nothing where it comes out larger than it was.
std::vector<std::byte> lzma_packed(Bytes bytes, Bytes prefix, Contexts contexts = {}) {
  const LzmaFilters filters(prefix, bytes.size(), contexts);
  std::vector<std::byte> packed(bytes.size());
  std::size_t size = 0;
  const auto done =
      lzma_raw_buffer_encode(filters.get(), nullptr, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                             reinterpret_cast<std::uint8_t*>(packed.data()), &size, packed.size());
  packed.resize(done == LZMA_OK ? size : 0);
  return packed;
}

class ZstdUnpacker final : public Unpacker {
 public:
  ZstdUnpacker(Bytes prefix, Refill refill) : refill_(std::move(refill)), context_(ZSTD_createDCtx()) {
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindow_bits);
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_format, ZSTD_f_zstd1_magicless);
    ZSTD_DCtx_refPrefix(context_.get(), prefix.data(), prefix.size());
  }
  Result<void> take(std::span<std::byte> into) override {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos < out.size) {
      if (in_.pos == in_.size && !at_end_) {
        VERGE_ASSIGN(const auto more, refill_());
        in_ = {more.data(), more.size(), 0};
        at_end_ = more.empty();
      }
      const auto before = out.pos + in_.pos;
      const auto left = ZSTD_decompressStream(context_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0) return damaged(ZSTD_getErrorName(left));
      const bool stands = out.pos + in_.pos == before;
      if (out.pos < out.size && (left == 0 || (stands && at_end_))) return damaged("its other bytes are too few");
    }
    return {};
  }

 private:
  Refill refill_;
  std::unique_ptr<ZSTD_DCtx, ZstdFree> context_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool at_end_ = false;
};

class LzmaUnpacker final : public Unpacker {
 public:
  LzmaUnpacker(Bytes prefix, std::uint64_t size_bytes, Refill refill)
      : refill_(std::move(refill)), filters_(prefix, size_bytes) {
    if (lzma_raw_decoder(&stream_, filters_.get()) != LZMA_OK) throw std::bad_alloc();
  }
  ~LzmaUnpacker() override { lzma_end(&stream_); }
  LzmaUnpacker(const LzmaUnpacker&) = delete;
  LzmaUnpacker& operator=(const LzmaUnpacker&) = delete;
  LzmaUnpacker(LzmaUnpacker&&) = delete;
  LzmaUnpacker& operator=(LzmaUnpacker&&) = delete;

  Result<void> take(std::span<std::byte> into) override {
    stream_.next_out = reinterpret_cast<std::uint8_t*>(into.data());
    stream_.avail_out = into.size();
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && !at_end_) {
        VERGE_ASSIGN(const auto more, refill_());
        stream_.next_in = reinterpret_cast<const std::uint8_t*>(more.data());
        stream_.avail_in = more.size();
        at_end_ = more.empty();
      }
      const auto done = lzma_code(&stream_, at_end_ ? LZMA_FINISH : LZMA_RUN);
      if (done == LZMA_STREAM_END || done == LZMA_BUF_ERROR) {
        if (stream_.avail_out > 0 && (at_end_ || done == LZMA_STREAM_END))
          return damaged("its other bytes are too few");
      } else if (done != LZMA_OK) {
        return damaged("its other bytes cannot be unpacked");
      }
    }
    return {};
  }

 private:
  Refill refill_;
  LzmaFilters filters_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool at_end_ = false;
};

}  // namespace

Packed pack(Bytes bytes, Bytes prefix) {
  constexpr int kBestLevel = 22;
  Packed best{Packing::zstd, zstd_packed(bytes, prefix, kBestLevel)};
  const auto consider = [&](Packing packing, std::vector<std::byte> packed) {
    if (!packed.empty() && packed.size() < best.bytes.size()) best = {packing, std::move(packed)};
  };
  consider(Packing::lzma, lzma_packed(bytes, prefix));
  // Of little, more ways are tried: there the header counts, and a few bytes decide.
  constexpr std::size_t kLittle_bytes = std::size_t{256} << 10U;
  if (bytes.size() > kLittle_bytes) return best;
  consider(Packing::zstd, zstd_packed(bytes, prefix, kBestLevel - 3));
  for (const Contexts contexts : {Contexts{0, 2, 2}, {3, 0, 0}, {0, 0, 2}}) {
    consider(Packing::lzma, lzma_packed(bytes, prefix, contexts));
  }
  return best;
}

std::size_t quickly_packed_bytes(Bytes bytes, Bytes prefix) {
  constexpr int kQuickLevel = 9;
  return zstd_packed(bytes, prefix, kQuickLevel).size();
}

std::unique_ptr<Unpacker> Unpacker::create(Packing packing, Bytes prefix, std::uint64_t size_bytes, Refill refill) {
  if (packing == Packing::zstd) return std::make_unique<ZstdUnpacker>(prefix, std::move(refill));
  return std::make_unique<LzmaUnpacker>(prefix, size_bytes, std::move(refill));
}

}  // namespace verge::delta
