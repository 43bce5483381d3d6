#include "outbox.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>

#include <fmt/format.h>

namespace verge::pipeline {
namespace {

class MemoryOutbox final : public Outbox {
 public:
  explicit MemoryOutbox(std::size_t most) : most_(most) {}

  Result<void> put(std::string_view text) override {
    {
      const std::lock_guard lock(mutex_);
      while (waiting_.size() >= most_) {
        waiting_.pop_front();
        ++counts_.dropped;
        --counts_.waiting;
      }
      waiting_.emplace_back(text);
      ++counts_.waiting;
    }
    changed_.notify_all();
    return {};
  }
  bool take(Message& message, const std::stop_token& stop, std::chrono::milliseconds wait) override {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, stop, wait, [this] { return !waiting_.empty(); })) return false;
    message.sequence = ++taken_;
    message.text = std::move(waiting_.front());
    waiting_.pop_front();
    return true;
  }
  void mark(std::uint64_t /*sequence*/, bool delivered) override {
    const std::lock_guard lock(mutex_);
    ++(delivered ? counts_.delivered : counts_.dropped);
    --counts_.waiting;
  }
  [[nodiscard]] Deliveries deliveries() const override {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  const std::size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::string> waiting_;
  std::uint64_t taken_ = 0;
  Deliveries counts_;
};

class SpooledOutbox final : public Outbox {
 public:
  explicit SpooledOutbox(std::shared_ptr<spool::Spool> spool) : spool_(std::move(spool)) {}

  Result<void> put(std::string_view text) override { return spool_->put(text); }
  bool take(Message& message, const std::stop_token& stop, std::chrono::milliseconds wait) override {
    if (!spool_->take(record_, stop, wait)) return false;
    message.sequence = record_.sequence;
    message.key.clear();
    fmt::format_to(std::back_inserter(message.key), "{}-{}", spool_->stream(), record_.sequence);
    message.text.clear();
    fmt::format_to(std::back_inserter(message.text), R"({{"stream":"{}","sequence":{},)", spool_->stream(),
                   record_.sequence);
    message.text.append(record_.content, 1);  // An object with members, always.
    return true;
  }
  void mark(std::uint64_t sequence, bool delivered) override {
    spool_->mark(sequence, delivered ? spool::Outcome::delivered : spool::Outcome::refused);
  }
  [[nodiscard]] Deliveries deliveries() const override {
    const auto counts = spool_->counts();
    Deliveries deliveries;
    deliveries.delivered = static_cast<std::int64_t>(counts.delivered);
    deliveries.dropped =
        static_cast<std::int64_t>(counts.dropped_full + counts.dropped_old + counts.refused + counts.damaged);
    deliveries.waiting = static_cast<std::int64_t>(counts.waiting);
    deliveries.spool = counts;
    return deliveries;
  }

 private:
  const std::shared_ptr<spool::Spool> spool_;
  spool::Record record_;
};

}  // namespace

std::unique_ptr<Outbox> memory_outbox(std::size_t most) {
  return std::make_unique<MemoryOutbox>(most);
}

std::unique_ptr<Outbox> spooled_outbox(std::shared_ptr<spool::Spool> spool) {
  return std::make_unique<SpooledOutbox>(std::move(spool));
}

}  // namespace verge::pipeline
