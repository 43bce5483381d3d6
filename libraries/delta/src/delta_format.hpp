// Delta format, version 1. Numbers are LEB128.
//
//   "vgd1"  length of the header (4 bytes, little-endian)
//   header: old size, old SHA-256 (32 bytes), new size, new SHA-256,
//           dictionary: count, then offset and size of each range of the old file,
//           size of the other bytes, how they are packed (0: zstd, 1: LZMA2), packed size,
//           segments: count, then of each: operation, size; copy, difference: offset in the old file; difference,
//           values: kind of the elements, sizes of the coded and the plain bits
//   the other bytes: a zstd frame, or raw LZMA2, with the dictionary as prefix
//   coded and plain bits of each segment that has them, in order
#pragma once

#include <string>
#include <vector>

#include "packed.hpp"
#include "verge/delta/delta.hpp"

namespace verge::delta {

enum class Operation : std::uint8_t {
  other,       ///< The next of the other bytes.
  copy,        ///< Bytes of the old file.
  difference,  ///< Numbers, as they differ from those of the old file.
  values,      ///< Numbers.
};

struct Segment {
  Operation operation = Operation::other;
  std::uint64_t size_bytes = 0;  ///< In the new file; at most kPiece_bytes.
  std::uint64_t old_offset_bytes = 0;
  model_file::ElementKind kind = model_file::ElementKind::int8;
  std::uint64_t coded_bytes = 0;
  std::uint64_t plain_bytes = 0;
};

[[nodiscard]] constexpr bool needs_old(const Segment& segment) noexcept {
  return segment.operation == Operation::copy || segment.operation == Operation::difference;
}
[[nodiscard]] constexpr bool is_coded(const Segment& segment) noexcept {
  return segment.operation == Operation::difference || segment.operation == Operation::values;
}

/// A segment's coded and plain bits together are not larger than this; what would be is not coded.
[[nodiscard]] constexpr std::uint64_t most_coded(std::uint64_t size_bytes) noexcept {
  return size_bytes + size_bytes / 4 + 64;
}

struct Range {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

struct Header {
  Summary summary;
  std::vector<Range> dictionary;
  std::uint64_t other_bytes = 0;
  Packing packing = Packing::zstd;
  std::uint64_t packed_bytes = 0;
  std::vector<Segment> segments;
  std::uint64_t body_at = 0;  ///< Of the packed bytes, in the delta.
};

[[nodiscard]] std::vector<std::byte> write_header(const Header& header);
/// Checked whole: all ranges lie in their files, all sizes add up.
Result<Header> read_header(const Source& delta);

[[nodiscard]] Error damaged(std::string_view what);

}  // namespace verge::delta
