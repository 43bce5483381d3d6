// State of a spool. In the order of numbers:
//
//   done      | in flight: taken,  | on the disk,  | in memory,
//             | not marked yet     | in segments   | not written yet
//
// A record that is taken and marked before it is written is never written: while the receiver keeps up, the disk is
// touched for numbers only.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "segments.hpp"
#include "verge/spool/spool.hpp"

namespace verge::spool {

struct Segment {
  std::uint64_t number = 0;
  std::uint64_t size_bytes = 0;  ///< Up to here it is durable.
  std::uint64_t last = 0;        ///< Its largest sequence number; 0: it has no records.
  std::int64_t newest_ms = 0;
  std::uint64_t untaken = 0;
};

struct Spool::State {
  State(FileSystem& file_system, Options chosen);

  Result<void> load();
  Result<void> put(std::string_view content);
  bool take(Record& record, const std::stop_token& stop, std::chrono::milliseconds wait);
  void mark(std::uint64_t sequence, Outcome outcome);
  /// Writes what is to be written. `all`: whatever is not durable yet; `last`: nothing comes after it.
  Result<void> commit(bool all, bool last);
  void run(const std::stop_token& stop);
  [[nodiscard]] Counts counts() const;

  std::string stream;

 private:
  using Clock = std::chrono::steady_clock;
  /// A record that is not written yet.
  struct Pending : Record {
    Clock::time_point since;
  };
  struct InFlight {
    std::uint64_t sequence = 0;
    bool done = false;
  };
  struct Written {
    Head head;
    SegmentWriter::Place place;
  };

  // Of the queue, under `mutex_`.
  [[nodiscard]] bool is_old(std::int64_t time_ms) const;
  [[nodiscard]] std::uint64_t done() const { return in_flight_.empty() ? taken_ : in_flight_.front().sequence - 1; }
  bool make_room(std::uint64_t bytes);
  bool drop_from_memory(std::uint64_t& counter);
  bool drop_segment(std::uint64_t& counter);
  bool drop_oldest();
  void drop_old();
  void forget_done();
  void count_marked(Outcome outcome);
  bool from_memory(Record& record);
  bool from_disk(Record& record);
  void give(std::uint64_t sequence);
  /// The first that has records above `taken_`; null: there is none.
  Segment* segment_to_read();
  void end_of_segment(Segment& segment);
  [[nodiscard]] Ledger ledger(bool last) const;
  [[nodiscard]] bool must_write(bool all, bool last, const Ledger& now) const;
  [[nodiscard]] bool can_take();
  [[nodiscard]] Clock::time_point due_at() const;

  /// On take()'s thread; gives `lock` up meanwhile. False: the disk has nothing more.
  bool read_block(std::unique_lock<std::mutex>& lock);
  void keep_block(std::uint64_t end_bytes, const std::optional<Head>& head, const std::optional<Body>& body);

  // Of who holds `disk_mutex_`.
  /// Makes the next block, of records above `above`; false: there is nothing to write.
  bool next_block(bool all, bool last, std::uint64_t above, bool is_first);
  Result<void> write(bool all, bool last);
  void apply(const std::vector<Written>& written);
  void tell(const Result<void>& written);
  void remove_doomed();

  Result<void> make_folder();

  // Of load().
  Result<std::uint64_t> load_segments();
  std::optional<Ledger> newest_ledger();
  void count_untaken();

  FileSystem& system_;
  const Options options_;
  const std::uint64_t memory_limit_bytes_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;  ///< For who takes.
  std::condition_variable_any due_;      ///< For the thread that writes.
  std::deque<Pending> memory_;
  std::deque<InFlight> in_flight_;
  std::deque<Segment> segments_;
  std::vector<std::uint64_t> doomed_;  ///< Segments whose files are to go.
  Counts counts_;
  std::uint64_t memory_bytes_ = 0;
  std::uint64_t next_ = 1;
  std::uint64_t taken_ = 0;  ///< All up to this number were taken, dropped, or never were.
  std::uint64_t reserved_ = 0;
  Ledger durable_;
  std::uint64_t ledger_segment_ = 0;  ///< Where `durable_` stands: this segment must stay.
  bool taker_waits_ = false;          ///< For numbers to be reserved.
  bool trouble_ = false;
  std::uint64_t gathered_ = 0;  ///< All in memory up to this number are being written: they must stay.
  Clock::time_point planned_;   ///< When the thread that writes will look next.
  std::optional<Clock::time_point> marked_since_;  ///< Of the oldest mark that the disk does not know.
  Clock::time_point written_at_ = Clock::now();
  Clock::time_point try_again_;

  // Of take()'s thread.
  std::optional<SegmentReader> reader_;
  std::uint64_t reading_ = 0;  ///< Number of the segment.
  std::uint64_t passed_over_ = 0;
  std::deque<Record> read_;

  std::mutex disk_mutex_;  ///< Locked before `mutex_`.
  bool has_folder_ = false;
  std::optional<SegmentWriter> writer_;
  at_rest::KeyId key_{};
  BlockWriter block_;
  Ledger block_ledger_;
};

}  // namespace verge::spool
