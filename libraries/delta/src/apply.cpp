#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "delta_format.hpp"
#include "element_coders.hpp"
#include "packed.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::delta {
namespace {

constexpr std::size_t kRead_bytes = std::size_t{64} << 10U;

/// What the header says of the old file's bytes, together.
Result<std::vector<std::byte>> read_dictionary(const Source& old, const Header& header) {
  std::size_t size = 0;
  for (const auto& range : header.dictionary) size += static_cast<std::size_t>(range.size_bytes);
  std::vector<std::byte> dictionary(size);
  std::size_t at = 0;
  for (const auto& range : header.dictionary) {
    const auto part = std::span(dictionary).subspan(at, static_cast<std::size_t>(range.size_bytes));
    VERGE_TRY(old.read(range.offset_bytes, part));
    at += part.size();
  }
  return dictionary;
}

/// Goes through the packed bytes once.
Unpacker::Refill reader_of(const Source& delta, const Header& header) {
  auto buffer = std::make_shared<std::vector<std::byte>>();
  return [&delta, buffer, at = header.packed_at,
          end = header.packed_at + header.packed_bytes]() mutable -> Result<std::span<const std::byte>> {
    buffer->resize(static_cast<std::size_t>(std::min<std::uint64_t>(kRead_bytes, end - at)));
    if (!buffer->empty()) VERGE_TRY(delta.read(at, *buffer));
    at += buffer->size();
    return std::span<const std::byte>(*buffer);
  };
}

}  // namespace

Result<void> apply(const Source& old, const Source& delta,
                   const std::function<Result<void>(std::span<const std::byte>)>& sink) {
  VERGE_ASSIGN(const Header header, read_header(delta));
  if (old.size_bytes != header.summary.old_size_bytes) {
    return Error(ErrorCode::data_loss, "VRG-DLT-003",
                 fmt::format("expected an old file of {} bytes, got one of {}; a delta fits one file only",
                             header.summary.old_size_bytes, old.size_bytes));
  }
  VERGE_ASSIGN(const auto dictionary, read_dictionary(old, header));
  const auto other = Unpacker::create(header.packing, dictionary, header.other_bytes, reader_of(delta, header));
  ElementCoders coders;
  crypto::Sha256 digest;
  std::vector<std::byte> fresh;
  std::vector<std::byte> before;
  std::vector<std::byte> coded;
  std::vector<std::byte> plain;
  std::uint64_t body_at = header.packed_at + header.packed_bytes;
  for (const auto& segment : header.segments) {
    fresh.resize(static_cast<std::size_t>(segment.size_bytes));
    if (segment.operation == Operation::other) {
      VERGE_TRY(other->take(fresh));
    } else if (segment.operation == Operation::copy) {
      VERGE_TRY(old.read(segment.old_offset_bytes, fresh));
    } else {
      before.resize(segment.operation == Operation::difference ? fresh.size() : 0);
      if (!before.empty()) VERGE_TRY(old.read(segment.old_offset_bytes, before));
      coded.resize(static_cast<std::size_t>(segment.coded_bytes));
      plain.resize(static_cast<std::size_t>(segment.plain_bytes));
      VERGE_TRY(delta.read(body_at, coded));
      VERGE_TRY(delta.read(body_at + coded.size(), plain));
      body_at += coded.size() + plain.size();
      Decoder decoder(coded, plain);
      coders.of(segment.kind).decode(decoder, before, fresh);
    }
    digest.update(fresh);
    VERGE_TRY(sink(fresh));
  }
  if (const auto got = digest.finish(); got != header.summary.new_digest) {
    return Error(
        ErrorCode::data_loss, "VRG-DLT-004",
        fmt::format("expected {} after the delta, got {}; the old file or the delta is damaged: get the whole file",
                    header.summary.new_digest, got));
  }
  return {};
}

}  // namespace verge::delta
