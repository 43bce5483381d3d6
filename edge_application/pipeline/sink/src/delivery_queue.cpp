#include "delivery_queue.hpp"

#include <algorithm>
#include <random>

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 250ms;
constexpr auto kLongestPause = 30'000ms;
constexpr auto kFarewell = 2s;

}  // namespace

DeliveryQueue::DeliveryQueue(std::size_t most, Deliver deliver, OnSinkError on_error)
    : most_(most), deliver_(std::move(deliver)), on_error_(std::move(on_error)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

DeliveryQueue::~DeliveryQueue() {
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, kFarewell, [this] { return waiting_.empty() && !busy_; });
  }
  thread_.request_stop();
}

void DeliveryQueue::push(std::string_view text) {
  {
    const std::lock_guard lock(mutex_);
    while (waiting_.size() >= most_) {
      waiting_.pop_front();
      ++counts_.dropped;
    }
    waiting_.emplace_back(text);
  }
  changed_.notify_all();
}

Deliveries DeliveryQueue::deliveries() const {
  const std::lock_guard lock(mutex_);
  Deliveries counts = counts_;
  counts.waiting = static_cast<std::int64_t>(waiting_.size()) + (busy_ ? 1 : 0);
  return counts;
}

void DeliveryQueue::pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, time, [this] { return ending_; });
}

bool DeliveryQueue::deliver_one(const std::string& text, const std::stop_token& stop) {
  std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> jitter(0.5, 1.0);
  bool told = false;
  for (std::chrono::milliseconds backoff = kFirstPause;; backoff = std::min(2 * backoff, kLongestPause)) {
    std::chrono::milliseconds wanted{0};
    const auto done = deliver_(text, wanted, stop);
    const bool again = !done && done.error().code() == ErrorCode::unavailable;
    if (!done && done.error().code() == ErrorCode::cancelled) return false;
    if (!done && !std::exchange(told, true)) on_error_(done.error());
    if (!again) {
      const std::lock_guard lock(mutex_);
      ++(done ? counts_.delivered : counts_.dropped);
      return true;
    }
    if (stop.stop_requested()) return false;
    pause(wanted.count() > 0 ? std::min<std::chrono::milliseconds>(wanted, 1h)
                             : std::chrono::duration_cast<std::chrono::milliseconds>(backoff * jitter(random)),
          stop);
    const std::lock_guard lock(mutex_);
    if (ending_) return false;
  }
}

void DeliveryQueue::run(const std::stop_token& stop) {
  for (;;) {
    std::string text;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return !waiting_.empty() || ending_; }) || waiting_.empty()) return;
      text = std::move(waiting_.front());
      waiting_.pop_front();
      busy_ = true;
    }
    const bool done = deliver_one(text, stop);
    {
      const std::lock_guard lock(mutex_);
      busy_ = false;
      if (!done) {  // Away, and we are ending: what waits is lost, and counted.
        counts_.dropped += 1 + static_cast<std::int64_t>(waiting_.size());
        waiting_.clear();
      }
    }
    changed_.notify_all();
  }
}

}  // namespace verge::pipeline
