// Block: what is written to a segment at once.
//
//   head     "VSB1", kind (0 plain, 1 encrypted), size of the body, CRC32C of the body, first and last sequence
//            number, time of the newest record, number of records, CRC32C of the head before: 48 bytes
//   body     the stream's name (8 bytes), what was known of the whole spool by then, then the records: size, sequence
//            number, time, content; encrypted as a whole file of at_rest is
//
// All numbers are little-endian. A head tells how far its body goes even when the body is damaged.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/at_rest/data_keys.hpp"

namespace verge::spool {

inline constexpr std::size_t kHeadBytes = 48;
/// Of a record beside its content.
inline constexpr std::size_t kRecordExtraBytes = 20;
/// Records go into one block up to this; one that is larger has its own.
inline constexpr std::size_t kBlockBytes = std::size_t{128} << 10U;
/// Largest body: of one largest record, encrypted.
inline constexpr std::size_t kBodyLimitBytes = std::size_t{3} << 19U;

using StreamName = std::array<char, 8>;

/// What each block says of the whole spool.
struct Ledger {
  StreamName stream{};
  std::uint64_t done = 0;      ///< All up to this number are delivered, dropped, or never were.
  std::uint64_t reserved = 0;  ///< A later run begins with this number.
  std::uint64_t stored = 0;
  std::uint64_t delivered = 0;
  std::uint64_t dropped_full = 0;
  std::uint64_t dropped_old = 0;
  std::uint64_t refused = 0;
  std::uint64_t damaged = 0;
  friend bool operator==(const Ledger&, const Ledger&) = default;
};

struct Head {
  bool encrypted = false;
  std::uint32_t body_bytes = 0;
  std::uint32_t body_crc = 0;
  std::uint64_t first = 0;  ///< 0: it has no records.
  std::uint64_t last = 0;
  std::int64_t newest_ms = 0;
  std::uint32_t records = 0;
};

struct RecordView {
  std::uint64_t sequence = 0;
  std::int64_t time_ms = 0;
  std::string_view content;
};

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept;

/// Makes a block: begin, add each record, finish. Keeps its memory from block to block.
class BlockWriter {
 public:
  void begin(const Ledger& ledger);
  /// Sequence numbers go up.
  void add(const RecordView& record);
  /// Bytes of the body so far.
  [[nodiscard]] std::size_t size_bytes() const noexcept { return body_.size(); }
  [[nodiscard]] const Head& head() const noexcept { return head_; }
  /// The whole block, valid until the next begin(); encrypted with the newest of `keys` unless it is null.
  std::span<const std::byte> finish(const at_rest::DataKeys* keys);

 private:
  Head head_;
  std::vector<std::byte> body_;
  std::vector<std::byte> block_;
};

/// Nothing: these are no head.
[[nodiscard]] std::optional<Head> read_head(std::span<const std::byte> bytes) noexcept;

/// A body that is as it was written. Its views lead into `plain`.
struct Body {
  Ledger ledger;
  std::vector<RecordView> records;
};
/// Nothing: it is damaged, or its key is unknown. `plain` gets what was encrypted.
[[nodiscard]] std::optional<Body> read_body(const Head& head, std::span<const std::byte> stored,
                                            const at_rest::DataKeys* keys, std::vector<std::byte>& plain);

}  // namespace verge::spool
