#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "delta_format.hpp"
#include "element_coders.hpp"
#include "packed.hpp"
#include "plan.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::delta {
namespace {

void append(std::vector<std::byte>& to, Bytes bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

/// Nothing when what was to be coded has become larger than it was.
std::optional<std::vector<std::byte>> write(const Content& old, const Content& fresh, const Summary& summary,
                                            std::vector<Segment> plan) {
  Header header;
  header.summary = summary;
  std::vector<std::byte> other;
  std::vector<std::byte> body;
  ElementCoders coders;
  std::uint64_t at = 0;
  for (auto& segment : plan) {
    const auto bytes = part(fresh.bytes, at, segment.size_bytes);
    at += segment.size_bytes;
    if (segment.operation == Operation::other) append(other, bytes);
    if (!is_coded(segment)) continue;
    const auto before = needs_old(segment) ? part(old.bytes, segment.old_offset_bytes, segment.size_bytes) : Bytes();
    Encoder encoder;
    coders.of(segment.kind).encode(encoder, before, bytes);
    encoder.finish();
    segment.coded_bytes = encoder.coded().size();
    segment.plain_bytes = encoder.plain_bits().size();
    if (segment.coded_bytes + segment.plain_bytes > most_coded(segment.size_bytes)) return std::nullopt;
    append(body, encoder.coded());
    append(body, encoder.plain_bits());
  }
  std::vector<std::byte> dictionary;
  for (const auto& range : dictionary_of(plan, old.bytes.size()))
    append(dictionary, part(old.bytes, range.offset_bytes, range.size_bytes));
  const auto packed = pack(other, dictionary);
  header.packing = packed.packing;
  header.segments = std::move(plan);
  auto delta = write_header(header);
  append(delta, packed.bytes);
  append(delta, body);
  return delta;
}

}  // namespace

Result<std::vector<std::byte>> make(const Content& old, const Content& fresh) {
  const auto larger = std::max(old.bytes.size(), fresh.bytes.size());
  if (larger > kMaxFile_bytes) {
    return Error(
        ErrorCode::resource_exhausted, "VRG-DLT-001",
        fmt::format("expected files of at most {} bytes, got one of {}; send the whole file", kMaxFile_bytes, larger));
  }
  const Summary summary{old.bytes.size(), crypto::sha256(fresh.bytes), fresh.bytes.size()};
  auto planned = write(old, fresh, summary, make_plan(old, fresh));
  // What is tried on samples may go wrong as a whole: packing alone has the last word, where it may come near.
  constexpr double kFarFrom = 0.6;
  const auto near = old.bytes.first(std::min(old.bytes.size(), kDictionary_bytes));
  if (planned &&
      static_cast<double>(planned->size()) < kFarFrom * static_cast<double>(quickly_packed_bytes(fresh.bytes, near))) {
    return std::move(*planned);
  }
  auto simple = write(old, fresh, summary, plain_plan(fresh.bytes.size()));
  return planned && planned->size() < simple->size() ? std::move(*planned) : std::move(*simple);
}

}  // namespace verge::delta
