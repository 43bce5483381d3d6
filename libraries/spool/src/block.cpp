#include "block.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <boost/crc.hpp>

#include "verge/at_rest/encrypted_file.hpp"

namespace verge::spool {
namespace {

constexpr std::array<char, 4> kMagic{'V', 'S', 'B', '1'};
constexpr std::size_t kLedgerBytes = sizeof(StreamName) + 8 * sizeof(std::uint64_t);

template <typename Number>
void append(Number number, std::vector<std::byte>& out) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    out.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(number) >> (8 * i)));
  }
}

/// Takes numbers from the front; there must be enough.
template <typename Number>
Number take(std::span<const std::byte>& bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) number |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  bytes = bytes.subspan(sizeof(Number));
  return static_cast<Number>(number);
}

void append(const Head& head, std::vector<std::byte>& out) {
  const auto begin = out.size();
  for (const char c : kMagic) out.push_back(static_cast<std::byte>(c));
  append<std::uint32_t>(head.encrypted ? 1 : 0, out);
  append(head.body_bytes, out);
  append(head.body_crc, out);
  append(head.first, out);
  append(head.last, out);
  append(head.newest_ms, out);
  append(head.records, out);
  append(crc32c(std::span(out).subspan(begin)), out);
}

void append(const Ledger& ledger, std::vector<std::byte>& out) {
  for (const char c : ledger.stream) out.push_back(static_cast<std::byte>(c));
  for (const auto number : {ledger.done, ledger.reserved, ledger.stored, ledger.delivered, ledger.dropped_full,
                            ledger.dropped_old, ledger.refused, ledger.damaged}) {
    append(number, out);
  }
}

Ledger take_ledger(std::span<const std::byte>& bytes) {
  Ledger ledger;
  std::memcpy(ledger.stream.data(), bytes.data(), ledger.stream.size());
  bytes = bytes.subspan(ledger.stream.size());
  for (auto* number : {&ledger.done, &ledger.reserved, &ledger.stored, &ledger.delivered, &ledger.dropped_full,
                       &ledger.dropped_old, &ledger.refused, &ledger.damaged}) {
    *number = take<std::uint64_t>(bytes);
  }
  return ledger;
}

bool decrypt(std::span<const std::byte> stored, const at_rest::DataKeys& keys, std::vector<std::byte>& plain) {
  const auto read = [stored](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
    std::ranges::copy(stored.subspan(static_cast<std::size_t>(offset), into.size()), into.begin());
    return {};
  };
  auto reader = at_rest::Reader::open({stored.size(), read}, keys);
  if (!reader) return false;
  plain.resize(static_cast<std::size_t>(reader->size_bytes()));
  return reader->read(0, plain).has_value();
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

void BlockWriter::begin(const Ledger& ledger) {
  head_ = {};
  body_.clear();
  append(ledger, body_);
}

void BlockWriter::add(const RecordView& record) {
  if (head_.records++ == 0) head_.first = record.sequence;
  head_.last = record.sequence;
  head_.newest_ms = std::max(head_.newest_ms, record.time_ms);
  append(static_cast<std::uint32_t>(record.content.size()), body_);
  append(record.sequence, body_);
  append(record.time_ms, body_);
  const auto content = std::as_bytes(std::span(record.content));
  body_.insert(body_.end(), content.begin(), content.end());
}

std::span<const std::byte> BlockWriter::finish(const at_rest::DataKeys* keys) {
  head_.encrypted = keys != nullptr;
  if (keys != nullptr) {
    auto encrypted = at_rest::encrypt(body_, *keys);
    at_rest::clear(body_.data(), body_.size());
    body_ = std::move(encrypted);
  }
  assert(body_.size() <= kBodyLimitBytes);
  head_.body_bytes = static_cast<std::uint32_t>(body_.size());
  head_.body_crc = crc32c(body_);
  block_.clear();
  append(head_, block_);
  block_.insert(block_.end(), body_.begin(), body_.end());
  return block_;
}

std::optional<Head> read_head(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() < kHeadBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) return std::nullopt;
  auto rest = bytes.subspan(kMagic.size(), kHeadBytes - kMagic.size());
  Head head;
  const auto kind = take<std::uint32_t>(rest);
  head.encrypted = kind == 1;
  head.body_bytes = take<std::uint32_t>(rest);
  head.body_crc = take<std::uint32_t>(rest);
  head.first = take<std::uint64_t>(rest);
  head.last = take<std::uint64_t>(rest);
  head.newest_ms = take<std::int64_t>(rest);
  head.records = take<std::uint32_t>(rest);
  const auto crc = take<std::uint32_t>(rest);
  const bool right = kind <= 1 && head.body_bytes <= kBodyLimitBytes && head.first <= head.last &&
                     (head.records == 0) == (head.last == 0) &&
                     crc == crc32c(bytes.first(kHeadBytes - sizeof(std::uint32_t)));
  return right ? std::optional(head) : std::nullopt;
}

std::optional<Body> read_body(const Head& head, std::span<const std::byte> stored, const at_rest::DataKeys* keys,
                              std::vector<std::byte>& plain) {
  if (stored.size() != head.body_bytes || crc32c(stored) != head.body_crc) return std::nullopt;
  std::span<const std::byte> rest = stored;
  if (head.encrypted) {
    if (keys == nullptr || !decrypt(stored, *keys, plain)) return std::nullopt;
    rest = plain;
  }
  if (rest.size() < kLedgerBytes) return std::nullopt;
  Body body;
  body.ledger = take_ledger(rest);
  std::uint64_t before = 0;
  while (!rest.empty()) {
    if (rest.size() < kRecordExtraBytes) return std::nullopt;
    const auto size = take<std::uint32_t>(rest);
    RecordView record;
    record.sequence = take<std::uint64_t>(rest);
    record.time_ms = take<std::int64_t>(rest);
    if (size > rest.size() || record.sequence <= std::exchange(before, record.sequence)) return std::nullopt;
    record.content = {reinterpret_cast<const char*>(rest.data()), size};
    rest = rest.subspan(size);
    body.records.push_back(record);
  }
  // What the head says in plain must be what the body says: only that is authenticated.
  const bool same = body.records.size() == head.records &&
                    (body.records.empty() ||
                     (body.records.front().sequence == head.first && body.records.back().sequence == head.last));
  return same ? std::optional(std::move(body)) : std::nullopt;
}

}  // namespace verge::spool
