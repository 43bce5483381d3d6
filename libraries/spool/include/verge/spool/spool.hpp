// Spool: records on their way to somebody who may be away: a first-in-first-out queue in a folder, bounded in bytes and
// in age, that survives crashes and losses of power. documentation/adr/0011-spool.md has the reasons.
//
// At least once, in order: a record that was taken and not marked as done comes again after a restart, with the number
// that it had. Numbers go up and are never used twice; after a crash some are passed over.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "verge/at_rest/data_keys.hpp"
#include "verge/base/error.hpp"
#include "verge/base/file_system.hpp"

namespace verge::spool {

/// Which record goes when there is no room.
enum class Drop : std::uint8_t { oldest, newest };

struct Options {
  std::filesystem::path folder;  ///< Its own; made when absent.
  /// Of the files, and of what waits in memory. At least kLeastBytes.
  std::uint64_t max_bytes = std::uint64_t{64} << 20U;
  std::chrono::milliseconds max_age{0};  ///< By the wall clock; 0: any.
  Drop drop = Drop::oldest;
  /// A record is durable after this time at the latest; 0: when put() returns.
  std::chrono::milliseconds durable_after{1000};
  const at_rest::DataKeys* keys = nullptr;  ///< To encrypt with; null: in plain. Must outlive the object.
  /// False: nothing happens by itself, only in flush().
  bool background = true;
  std::function<std::int64_t()> now_ms;  ///< Wall clock, since 1970; the system's when empty.
  /// Told once when the disk cannot be written, and once, with null, when it can again. On any thread.
  std::function<void(const Error*)> on_trouble;
};

inline constexpr std::uint64_t kLeastBytes = std::uint64_t{256} << 10U;
/// Largest record.
inline constexpr std::size_t kRecordLimitBytes = std::size_t{1} << 20U;

/// What became of the records, since the spool was made: kept over restarts. After a crash those of the last minute may
/// be missing in them.
struct Counts {
  std::uint64_t stored = 0;        ///< All that were put.
  std::uint64_t delivered = 0;     ///< The receiver has them.
  std::uint64_t dropped_full = 0;  ///< For want of room.
  std::uint64_t dropped_old = 0;   ///< Older than max_age.
  std::uint64_t refused = 0;       ///< By the receiver, for good; and those above kRecordLimitBytes.
  /// The disk did not give them back; a place that does not even tell how many they were counts as one.
  std::uint64_t damaged = 0;
  std::uint64_t waiting = 0;     ///< Now: neither delivered nor dropped.
  std::uint64_t disk_bytes = 0;  ///< Of the files, now.
  std::uint64_t writes = 0;      ///< Since this object was made.
  std::uint64_t written_bytes = 0;
  std::uint64_t syncs = 0;
  bool disk_trouble = false;  ///< What comes is kept in memory only.
};

struct Record {
  std::uint64_t sequence = 0;
  std::int64_t time_ms = 0;  ///< When it was put.
  std::string content;
};

enum class Outcome : std::uint8_t { delivered, refused };

/// Thread-safe; take() is for one thread. One object for a folder at a time.
class Spool {
 public:
  /// Goes on with what the folder has. Damage in it is passed over, and counted. A folder that a full disk
  /// has no room for is made later. Errors: others of making and listing it.
  static Result<std::unique_ptr<Spool>> open(FileSystem& system, Options options);
  /// As flush(), with what the disk then says for nobody to hear.
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// Adds a record; does not wait for the disk unless durable_after is 0. What there is no room for goes as
  /// Options::drop says. A disk that cannot be written keeps nothing away: records wait in memory then, up to an eighth
  /// of max_bytes or 1 MiB, whichever is more. Errors: resource_exhausted (VRG-SPL-001 larger than kRecordLimitBytes).
  Result<void> put(std::string_view content);
  /// The next record, into `record`, whose memory is used again; waits for one, at most for `wait`. False: there is
  /// none, or a stop was requested.
  bool take(Record& record, const std::stop_token& stop, std::chrono::milliseconds wait);
  /// Says what became of a record that was taken; another number is passed over.
  void mark(std::uint64_t sequence, Outcome outcome);
  /// All that was put and marked is durable when this returns. Errors: those of the disk.
  Result<void> flush();

  [[nodiscard]] Counts counts() const;
  /// Names the numbers: random, of 16 hexadecimal digits, another one once the folder is lost.
  [[nodiscard]] const std::string& stream() const noexcept;

 private:
  struct State;
  explicit Spool(std::unique_ptr<State> state);
  void run(const std::stop_token& stop);

  std::unique_ptr<State> state_;
  std::jthread thread_;
};

}  // namespace verge::spool
