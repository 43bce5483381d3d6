// What a spool does in memory.
#include <algorithm>

#include <fmt/format.h>

#include "state.hpp"

namespace verge::spool {
namespace {

using namespace std::chrono_literals;

std::uint64_t bytes_of(const Record& record) {
  return record.content.size() + kRecordExtraBytes;
}

}  // namespace

bool Spool::State::is_old(std::int64_t time_ms) const {
  return options_.max_age.count() > 0 && options_.now_ms() - time_ms > options_.max_age.count();
}

/// False: there was nothing to drop.
bool Spool::State::drop_from_memory(std::uint64_t& counter) {
  const auto first = std::ranges::upper_bound(memory_, std::max(taken_, gathered_), {}, &Pending::sequence);
  if (first == memory_.end()) return false;
  memory_bytes_ -= bytes_of(*first);
  memory_.erase(first);
  ++counter;
  --counts_.waiting;
  return true;
}

/// The oldest, whole; false: the only one left is needed.
bool Spool::State::drop_segment(std::uint64_t& counter) {
  if (segments_.empty() || segments_.front().number >= ledger_segment_) return false;
  const Segment& oldest = segments_.front();
  counter += oldest.untaken;
  counts_.waiting -= oldest.untaken;
  counts_.disk_bytes -= disk_bytes(oldest.size_bytes);
  taken_ = std::max(taken_, oldest.last);
  doomed_.push_back(oldest.number);
  segments_.pop_front();
  return true;
}

/// Wherever it is. False: there is nothing to drop.
bool Spool::State::drop_oldest() {
  if (drop_segment(counts_.dropped_full)) return true;
  if (Segment* const segment = segment_to_read()) {  // The last one must stay for what it says of the whole.
    counts_.dropped_full += segment->untaken;
    counts_.waiting -= std::exchange(segment->untaken, 0);
    taken_ = std::max(taken_, segment->last);
    return true;
  }
  const auto first = std::ranges::upper_bound(memory_, taken_, {}, &Pending::sequence);
  if (first == memory_.end()) return false;
  taken_ = first->sequence;  // It may be on its way to the disk.
  memory_bytes_ -= bytes_of(*first);
  memory_.erase(first);
  ++counts_.dropped_full;
  --counts_.waiting;
  return true;
}

void Spool::State::drop_old() {
  while (!segments_.empty() && segments_.front().untaken > 0 && is_old(segments_.front().newest_ms)) {
    if (!drop_segment(counts_.dropped_old)) break;
  }
  if (segment_to_read() != nullptr) return;
  while (true) {
    const auto first = std::ranges::upper_bound(memory_, taken_, {}, &Pending::sequence);
    if (first == memory_.end() || !is_old(first->time_ms) || !drop_from_memory(counts_.dropped_old)) return;
  }
}

/// False: the new one is to be dropped.
bool Spool::State::make_room(std::uint64_t bytes) {
  const auto is_full = [&] { return counts_.disk_bytes + memory_bytes_ + bytes > options_.max_bytes; };
  const auto memory_is_full = [&] { return memory_bytes_ + bytes > memory_limit_bytes_ && !memory_.empty(); };
  if (options_.drop == Drop::newest) return !is_full() && !memory_is_full();
  while (is_full() && drop_oldest()) {
  }
  // The disk does not keep up, or cannot be written: what is on it stays.
  while (memory_is_full() && drop_from_memory(counts_.dropped_full)) {
  }
  return !is_full() && !memory_is_full();
}

Result<void> Spool::State::put(std::string_view content) {
  {
    const std::lock_guard lock(mutex_);
    ++counts_.stored;
    if (content.size() > kRecordLimitBytes) {
      ++counts_.refused;
      return Error(ErrorCode::resource_exhausted, "VRG-SPL-001",
                   fmt::format("expected a record of at most {} bytes, got {}; it is not kept", kRecordLimitBytes,
                               content.size()));
    }
    if (!make_room(content.size() + kRecordExtraBytes)) {
      ++counts_.dropped_full;
      return {};
    }
    memory_.push_back({{next_++, options_.now_ms(), std::string(content)}, Clock::now()});
    memory_bytes_ += bytes_of(memory_.back());
    ++counts_.waiting;
    if (due_at() < planned_) due_.notify_one();
  }
  changed_.notify_one();
  return options_.durable_after.count() == 0 ? commit(false, false) : Result<void>{};
}

void Spool::State::give(std::uint64_t sequence) {
  taken_ = std::max(taken_, sequence);
  in_flight_.push_back({sequence, false});
}

bool Spool::State::from_memory(Record& record) {
  while (true) {
    const auto next = std::ranges::upper_bound(memory_, taken_, {}, &Pending::sequence);
    if (next == memory_.end()) return false;
    if (next->sequence > gathered_ && is_old(next->time_ms)) {
      drop_from_memory(counts_.dropped_old);
      continue;
    }
    // A number that might be given again after a crash must not be seen by anybody. A disk that cannot be written is no
    // reason to stand still.
    if (next->sequence >= reserved_ && !trouble_) {
      taker_waits_ = true;
      due_.notify_one();
      return false;
    }
    record = *next;
    give(record.sequence);
    return true;
  }
}

Segment* Spool::State::segment_to_read() {
  const auto found = std::ranges::find_if(segments_, [](const Segment& one) { return one.untaken > 0; });
  return found == segments_.end() ? nullptr : &*found;
}

/// Of what was read.
bool Spool::State::from_disk(Record& record) {
  while (!read_.empty()) {
    Record next = std::move(read_.front());
    read_.pop_front();
    if (next.sequence <= taken_) continue;  // Its segment was dropped meanwhile, or it stands there twice.
    const auto segment = std::ranges::find(segments_, reading_, &Segment::number);
    if (segment != segments_.end() && segment->untaken > 0) --segment->untaken;
    if (is_old(next.time_ms)) {
      ++counts_.dropped_old;
      --counts_.waiting;
      taken_ = next.sequence;
      continue;
    }
    record = std::move(next);
    give(record.sequence);
    return true;
  }
  return false;
}

bool Spool::State::can_take() {
  if (segment_to_read() != nullptr) return true;
  const auto next = std::ranges::upper_bound(memory_, taken_, {}, &Pending::sequence);
  return next != memory_.end() && (next->sequence < reserved_ || trouble_ || !taker_waits_);
}

bool Spool::State::take(Record& record, const std::stop_token& stop, std::chrono::milliseconds wait) {
  const auto deadline = Clock::now() + wait;
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (from_disk(record)) return true;
    if (read_block(lock)) continue;
    if (from_memory(record)) return true;
    if (Clock::now() >= deadline) return false;
    changed_.wait_until(lock, stop, deadline, [this] { return can_take(); });
  }
  return false;
}

void Spool::State::count_marked(Outcome outcome) {
  ++(outcome == Outcome::delivered ? counts_.delivered : counts_.refused);
  --counts_.waiting;
}

void Spool::State::mark(std::uint64_t sequence, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(in_flight_, sequence, &InFlight::sequence);
  if (found == in_flight_.end() || found->done) return;
  found->done = true;
  count_marked(outcome);
  while (!in_flight_.empty() && in_flight_.front().done) {
    in_flight_.pop_front();
  }
  forget_done();
}

void Spool::State::forget_done() {
  const auto floor = done();
  while (!memory_.empty() && memory_.front().sequence <= floor) {
    memory_bytes_ -= bytes_of(memory_.front());
    memory_.pop_front();
  }
  const bool on_disk = std::ranges::any_of(segments_, [&](const Segment& one) { return one.last > durable_.done; });
  if (on_disk && floor > durable_.done && !marked_since_) {
    marked_since_ = Clock::now();
    due_.notify_one();
  }
  while (!segments_.empty() && segments_.front().last <= floor && segments_.front().number < ledger_segment_) {
    counts_.disk_bytes -= disk_bytes(segments_.front().size_bytes);
    doomed_.push_back(segments_.front().number);
    segments_.pop_front();
  }
}

Counts Spool::State::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.disk_trouble = trouble_;
  return counts;
}

}  // namespace verge::spool
