#include <cstring>

#include "codecs.hpp"

namespace verge::processing {
namespace {

/// Integers of a TIFF block, in its own byte order, never past its end.
class TiffReader {
 public:
  TiffReader(std::span<const std::byte> block, bool big_endian) : block_(block), big_endian_(big_endian) {}
  [[nodiscard]] bool has(std::size_t offset, std::size_t size_bytes) const {
    return offset <= block_.size() && size_bytes <= block_.size() - offset;
  }
  [[nodiscard]] std::uint32_t u16(std::size_t offset) const { return integer(offset, 2); }
  [[nodiscard]] std::uint32_t u32(std::size_t offset) const { return integer(offset, 4); }

 private:
  [[nodiscard]] std::uint32_t integer(std::size_t offset, std::size_t size_bytes) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size_bytes; ++i) {
      const std::size_t at = offset + (big_endian_ ? i : size_bytes - 1 - i);
      value = (value << 8U) | static_cast<std::uint32_t>(block_[at]);
    }
    return value;
  }
  std::span<const std::byte> block_;
  bool big_endian_;
};

}  // namespace

int exif_orientation(std::span<const std::byte> segment) noexcept {
  constexpr std::size_t kHeader = 6;  // "Exif\0\0"
  if (segment.size() < kHeader + 8 || std::memcmp(segment.data(), "Exif\0\0", kHeader) != 0) return 1;
  const auto block = segment.subspan(kHeader);
  const bool big_endian = block[0] == std::byte{'M'};
  const TiffReader tiff(block, big_endian);
  const std::size_t directory = tiff.u32(4);
  if (!tiff.has(directory, 2)) return 1;
  const std::uint32_t count = tiff.u16(directory);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t entry = directory + 2 + std::size_t{12} * i;
    if (!tiff.has(entry, 12)) return 1;
    constexpr std::uint32_t kOrientation = 0x0112;
    if (tiff.u16(entry) == kOrientation) {
      const auto value = static_cast<int>(tiff.u16(entry + 8));
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}

namespace {

template <std::size_t kBytes>
void turn(const Image& from, int orientation, Image& to) {
  const bool transposed = orientation >= 5;
  // Where the column and the row of a target pixel come from, before the transposition.
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (int y = 0; y < to.height(); ++y) {
    std::uint8_t* out = to.row(y);
    for (int x = 0; x < to.width(); ++x, out += kBytes) {
      const int column = transposed ? y : x;
      const int line = transposed ? x : y;
      const int source_x = mirror_x ? from.width() - 1 - column : column;
      const int source_y = mirror_y ? from.height() - 1 - line : line;
      std::memcpy(out, from.row(source_y) + static_cast<std::size_t>(source_x) * kBytes, kBytes);
    }
  }
}

}  // namespace

void orient(const Image& from, int orientation, Image& to) {
  const bool transposed = orientation >= 5;
  to.reshape(transposed ? from.height() : from.width(), transposed ? from.width() : from.height(), from.format());
  if (from.format() == PixelFormat::grey) {
    turn<1>(from, orientation, to);
  } else {
    turn<3>(from, orientation, to);
  }
}

}  // namespace verge::processing
