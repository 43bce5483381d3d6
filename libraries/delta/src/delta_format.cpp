#include "delta_format.hpp"

#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

namespace verge::delta {
namespace {

constexpr std::string_view kMark = "vgd1";
constexpr std::size_t kStart_bytes = kMark.size() + 4;
constexpr std::uint32_t kMaxHeader_bytes = std::uint32_t{1} << 20U;
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

/// Whether every size is possible, and all of them add up.
Result<void> check(const Header& header, std::uint64_t delta_bytes) {
  const auto& summary = header.summary;
  if (summary.old_size_bytes > kMaxFile_bytes || summary.new_size_bytes > kMaxFile_bytes) {
    return damaged("it is for files of more than 4 GiB");
  }
  std::uint64_t dictionary = 0;
  for (const auto& range : header.dictionary) {
    if (!lies_in(range.offset_bytes, range.size_bytes, summary.old_size_bytes)) {
      return damaged("its dictionary lies outside the old file");
    }
    dictionary += range.size_bytes;
  }
  if (dictionary > kDictionary_bytes) return damaged("its dictionary is too large");
  std::uint64_t fresh = 0;
  std::uint64_t other = 0;
  std::uint64_t body = header.packed_bytes;
  if (body > delta_bytes) return damaged("it is cut off");
  for (const auto& segment : header.segments) {
    if (segment.size_bytes > kPiece_bytes || segment.size_bytes % size_bytes(segment.kind) != 0 ||
        segment.coded_bytes > most_coded(segment.size_bytes) ||
        segment.plain_bytes > most_coded(segment.size_bytes) - segment.coded_bytes) {
      return damaged("a segment makes no sense");
    }
    if (needs_old(segment) && !lies_in(segment.old_offset_bytes, segment.size_bytes, summary.old_size_bytes)) {
      return damaged("a segment lies outside the old file");
    }
    fresh += segment.size_bytes;
    body += segment.coded_bytes + segment.plain_bytes;
    if (segment.operation == Operation::other) other += segment.size_bytes;
  }
  if (fresh != summary.new_size_bytes || other != header.other_bytes || body != delta_bytes - header.body_at) {
    return damaged("its sizes do not add up");
  }
  return {};
}

}  // namespace

Error damaged(std::string_view what) {
  return Error(ErrorCode::data_loss, "VRG-DLT-002",
               fmt::format("expected a delta of Verge, version 1, got something else: {}", what));
}

std::vector<std::byte> write_header(const Header& header) {
  Writer writer;
  writer.number(header.summary.old_size_bytes);
  writer.digest(header.summary.old_digest);
  writer.number(header.summary.new_size_bytes);
  writer.digest(header.summary.new_digest);
  writer.number(header.dictionary.size());
  for (const auto& range : header.dictionary) {
    writer.number(range.offset_bytes);
    writer.number(range.size_bytes);
  }
  writer.number(header.other_bytes);
  writer.number(static_cast<std::uint64_t>(header.packing));
  writer.number(header.packed_bytes);
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
  std::vector<std::byte> bytes;
  bytes.reserve(kStart_bytes + writer.bytes.size());
  for (const char c : kMark) bytes.push_back(static_cast<std::byte>(c));
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<std::byte>((writer.bytes.size() >> (8 * i)) & 255U));
  bytes.insert(bytes.end(), writer.bytes.begin(), writer.bytes.end());
  return bytes;
}

Result<Header> read_header(const Source& delta) {
  if (delta.size_bytes < kStart_bytes) return damaged("it is too short");
  std::array<std::byte, kStart_bytes> start{};
  VERGE_TRY(delta.read(0, start));
  if (std::memcmp(start.data(), kMark.data(), kMark.size()) != 0) return damaged("it does not begin as one");
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) size |= std::to_integer<std::uint32_t>(start.at(kMark.size() + i)) << (8 * i);
  if (size > kMaxHeader_bytes || size > delta.size_bytes - kStart_bytes) return damaged("its header is cut off");
  std::vector<std::byte> bytes(size);
  VERGE_TRY(delta.read(kStart_bytes, bytes));
  Reader reader(bytes);
  Header header;
  header.body_at = kStart_bytes + size;
  header.summary.old_size_bytes = reader.number();
  header.summary.old_digest = reader.digest();
  header.summary.new_size_bytes = reader.number();
  header.summary.new_digest = reader.digest();
  for (auto count = reader.number(); count > 0 && !reader.failed; --count) {
    const auto offset = reader.number();
    header.dictionary.push_back({offset, reader.number()});
  }
  header.other_bytes = reader.number();
  const auto packing = reader.number();
  reader.failed = reader.failed || packing > static_cast<std::uint64_t>(Packing::lzma);
  header.packing = static_cast<Packing>(packing & 1U);
  header.packed_bytes = reader.number();
  for (auto count = reader.number(); count > 0 && !reader.failed; --count) {
    header.segments.push_back(read_segment(reader));
  }
  if (reader.failed || !reader.at_end()) return damaged("its header makes no sense");
  VERGE_TRY(check(header, delta.size_bytes));
  return header;
}

Result<Summary> read_summary(const Source& delta) {
  VERGE_ASSIGN(auto header, read_header(delta));
  return std::move(header.summary);
}

}  // namespace verge::delta
