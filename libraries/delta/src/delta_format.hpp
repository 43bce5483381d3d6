// Delta format, version 1. Numbers are LEB128.
//
//   "vgd1", then the header: its length behind this number, old size, SHA-256 of the new file (32 bytes), how the other
//   bytes are packed (0: zstd without its mark, 1: raw LZMA2), segments: count, then of each: operation, size; copy,
//   difference: offset in the old file; difference, values: kind of the elements, sizes of the coded and the plain bits
//   the other bytes, packed, with what dictionary_of() gives in front
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
  Packing packing = Packing::zstd;
  std::vector<Segment> segments;
  // What follows from these, and from the delta's size.
  std::vector<Range> dictionary;
  std::uint64_t other_bytes = 0;
  std::uint64_t packed_at = 0;  ///< Of the packed bytes, in the delta; what is coded lies behind them.
  std::uint64_t packed_bytes = 0;
};

/// What of the old file no segment uses, front to back, up to kDictionary_bytes: what the other bytes are packed with.
[[nodiscard]] std::vector<Range> dictionary_of(const std::vector<Segment>& segments, std::uint64_t old_size_bytes);

[[nodiscard]] std::vector<std::byte> write_header(const Header& header);
/// Checked whole: all ranges lie in their files, all sizes add up.
Result<Header> read_header(const Source& delta);

[[nodiscard]] Error damaged(std::string_view what);

}  // namespace verge::delta
