#include "delta_format.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

namespace verge::delta {
namespace {

constexpr std::string_view kMark = "vgd1";
constexpr std::size_t kLength_bytes = 4;  ///< Of the header's length, at most.
constexpr std::uint64_t kMaxHeader_bytes = std::uint64_t{1} << 20U;
constexpr std::string_view kDigestPrefix = "sha256:";
constexpr std::size_t kDigest_bytes = 32;

class Writer {
 public:
  void number(std::uint64_t value) {
    while (value >= 128) {
      bytes.push_back(static_cast<std::byte>((value & 127U) | 128U));
      value >>= 7U;
    }
    bytes.push_back(static_cast<std::byte>(value));
  }
  void digest(std::string_view text) {
    const auto nibble = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
    text.remove_prefix(kDigestPrefix.size());
    for (std::size_t i = 0; i < 2 * kDigest_bytes; i += 2) {
      bytes.push_back(static_cast<std::byte>(nibble(text[i]) * 16 + nibble(text[i + 1])));
    }
  }
  std::vector<std::byte> bytes;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = take();
      value |= std::uint64_t{byte & 127U} << shift;
      if (byte < 128) return value;
    }
    failed = true;
    return 0;
  }
  std::string digest() {
    std::string text(kDigestPrefix);
    for (std::size_t i = 0; i < kDigest_bytes; ++i) fmt::format_to(std::back_inserter(text), "{:02x}", take());
    return text;
  }
  [[nodiscard]] bool at_end() const noexcept { return at_ == bytes_.size(); }
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size() - at_; }
  bool failed = false;

 private:
  std::uint32_t take() {
    if (at_ == bytes_.size()) {
      failed = true;
      return 0;
    }
    return std::to_integer<std::uint32_t>(bytes_[at_++]);
  }
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

bool lies_in(std::uint64_t offset, std::uint64_t size, std::uint64_t whole) {
  return offset <= whole && size <= whole - offset;
}

Segment read_segment(Reader& reader) {
  Segment segment;
  const auto operation = reader.number();
  reader.failed = reader.failed || operation > static_cast<std::uint64_t>(Operation::values);
  segment.operation = static_cast<Operation>(operation & 3U);
  segment.size_bytes = reader.number();
  if (needs_old(segment)) segment.old_offset_bytes = reader.number();
  if (is_coded(segment)) {
    const auto kind = reader.number();
    reader.failed = reader.failed || kind >= model_file::kElementKinds;
    segment.kind = static_cast<model_file::ElementKind>(kind % model_file::kElementKinds);
    segment.coded_bytes = reader.number();
    segment.plain_bytes = reader.number();
  }
  return segment;
}

/// Whether every size is possible; fills in what follows from them.
Result<void> complete(Header& header, std::uint64_t delta_bytes) {
  auto& summary = header.summary;
  if (summary.old_size_bytes > kMaxFile_bytes) return damaged("it is for a file of more than 4 GiB");
  std::uint64_t coded = 0;
  for (const auto& segment : header.segments) {
    if (segment.size_bytes > kPiece_bytes || segment.size_bytes % size_bytes(segment.kind) != 0 ||
        segment.coded_bytes > most_coded(segment.size_bytes) ||
        segment.plain_bytes > most_coded(segment.size_bytes) - segment.coded_bytes) {
      return damaged("a segment makes no sense");
    }
    if (needs_old(segment) && !lies_in(segment.old_offset_bytes, segment.size_bytes, summary.old_size_bytes)) {
      return damaged("a segment lies outside the old file");
    }
    summary.new_size_bytes += segment.size_bytes;
    coded += segment.coded_bytes + segment.plain_bytes;
    if (segment.operation == Operation::other) header.other_bytes += segment.size_bytes;
  }
  if (summary.new_size_bytes > kMaxFile_bytes) return damaged("it is for a file of more than 4 GiB");
  if (coded > delta_bytes - header.packed_at) return damaged("it is cut off");
  header.packed_bytes = delta_bytes - header.packed_at - coded;
  header.dictionary = dictionary_of(header.segments, summary.old_size_bytes);
  return {};
}

}  // namespace

Error damaged(std::string_view what) {
  return Error(ErrorCode::data_loss, "VRG-DLT-002",
               fmt::format("expected a delta of Verge, version 1, got something else: {}", what));
}

std::vector<Range> dictionary_of(const std::vector<Segment>& segments, std::uint64_t old_size_bytes) {
  std::vector<Range> used;
  for (const auto& segment : segments) {
    if (needs_old(segment)) used.push_back({segment.old_offset_bytes, segment.size_bytes});
  }
  std::ranges::sort(used, {}, &Range::offset_bytes);
  used.push_back({old_size_bytes, 0});
  std::vector<Range> free;
  std::uint64_t at = 0;
  std::uint64_t left = kDictionary_bytes;
  for (const auto& range : used) {
    if (range.offset_bytes > at && left > 0) {
      const auto size = std::min(range.offset_bytes - at, left);
      free.push_back({at, size});
      left -= size;
    }
    at = std::max(at, range.offset_bytes + range.size_bytes);
  }
  return free;
}

std::vector<std::byte> write_header(const Header& header) {
  Writer writer;
  writer.number(header.summary.old_size_bytes);
  writer.digest(header.summary.new_digest);
  writer.number(static_cast<std::uint64_t>(header.packing));
  writer.number(header.segments.size());
  for (const auto& segment : header.segments) {
    writer.number(static_cast<std::uint64_t>(segment.operation));
    writer.number(segment.size_bytes);
    if (needs_old(segment)) writer.number(segment.old_offset_bytes);
    if (is_coded(segment)) {
      writer.number(static_cast<std::uint64_t>(segment.kind));
      writer.number(segment.coded_bytes);
      writer.number(segment.plain_bytes);
    }
  }
  Writer whole;
  for (const char c : kMark) whole.bytes.push_back(static_cast<std::byte>(c));
  whole.number(writer.bytes.size());
  whole.bytes.insert(whole.bytes.end(), writer.bytes.begin(), writer.bytes.end());
  return std::move(whole.bytes);
}

Result<Header> read_header(const Source& delta) {
  std::array<std::byte, kMark.size() + kLength_bytes> start{};
  const auto there = static_cast<std::size_t>(std::min<std::uint64_t>(start.size(), delta.size_bytes));
  VERGE_TRY(delta.read(0, std::span(start).first(there)));
  if (there <= kMark.size() || std::memcmp(start.data(), kMark.data(), kMark.size()) != 0) {
    return damaged("it does not begin as one");
  }
  const std::span<const std::byte> begin(start.data(), there);
  Reader length(begin.subspan(kMark.size()));
  const auto before = length.left();
  const auto size = length.number();
  const auto header_at = kMark.size() + before - length.left();
  if (length.failed || size > kMaxHeader_bytes || size > delta.size_bytes - header_at) {
    return damaged("its header is cut off");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  VERGE_TRY(delta.read(header_at, bytes));
  Reader reader(bytes);
  Header header;
  header.packed_at = header_at + size;
  header.summary.old_size_bytes = reader.number();
  header.summary.new_digest = reader.digest();
  const auto packing = reader.number();
  reader.failed = reader.failed || packing > static_cast<std::uint64_t>(Packing::lzma);
  header.packing = static_cast<Packing>(packing & 1U);
  for (auto count = reader.number(); count > 0 && !reader.failed; --count) {
    header.segments.push_back(read_segment(reader));
  }
  if (reader.failed || !reader.at_end()) return damaged("its header makes no sense");
  VERGE_TRY(complete(header, delta.size_bytes));
  return header;
}

Result<Summary> read_summary(const Source& delta) {
  VERGE_ASSIGN(auto header, read_header(delta));
  return std::move(header.summary);
}

}  // namespace verge::delta
