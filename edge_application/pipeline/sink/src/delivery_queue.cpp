#include "delivery_queue.hpp"

#include <algorithm>
#include <random>

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 250ms;
constexpr auto kLongestPause = 30'000ms;
constexpr auto kFarewell = 2s;
constexpr auto kLook = 1h;
constexpr auto kLookForAcknowledgements = 50ms;

}  // namespace

DeliveryQueue::DeliveryQueue(std::unique_ptr<Outbox> outbox, Deliver deliver, OnSinkError on_error,
                             Acknowledged acknowledged)
    : outbox_(std::move(outbox)),
      deliver_(std::move(deliver)),
      on_error_(std::move(on_error)),
      acknowledged_(std::move(acknowledged)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

DeliveryQueue::~DeliveryQueue() {
  {
    taking_.request_stop();
    std::unique_lock lock(mutex_);
    changed_.notify_all();
    changed_.wait_for(lock, kFarewell, [this] { return is_idle_; });
  }
  thread_.request_stop();
}

void DeliveryQueue::pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, time, [this] { return taking_.stop_requested(); });
}

void DeliveryQueue::settle() {
  if (!acknowledged_) return;
  for (const auto now = acknowledged_(); settled_ < now && !sent_.empty(); ++settled_) {
    outbox_->mark(sent_.front(), true);
    sent_.pop_front();
  }
}

bool DeliveryQueue::deliver_one(const Message& message, const std::stop_token& stop) {
  std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> jitter(0.5, 1.0);
  bool told = false;
  for (std::chrono::milliseconds backoff = kFirstPause;; backoff = std::min(2 * backoff, kLongestPause)) {
    std::chrono::milliseconds wanted{0};
    const auto done = deliver_(message, wanted, stop);
    const bool again = !done && done.error().code() == ErrorCode::unavailable;
    if (!done && done.error().code() == ErrorCode::cancelled) return false;
    if (!done && !std::exchange(told, true)) on_error_(done.error());
    if (done && acknowledged_) {
      sent_.push_back(message.sequence);
      return true;
    }
    if (!again) {
      outbox_->mark(message.sequence, done.has_value());
      return true;
    }
    if (stop.stop_requested()) return false;
    pause(wanted.count() > 0 ? std::min<std::chrono::milliseconds>(wanted, 1h)
                             : std::chrono::duration_cast<std::chrono::milliseconds>(backoff * jitter(random)),
          stop);
    if (taking_.stop_requested()) return false;
  }
}

void DeliveryQueue::run(const std::stop_token& stop) {
  Message message;
  while (!stop.stop_requested()) {
    const bool ending = taking_.stop_requested();
    const auto look = !sent_.empty() ? kLookForAcknowledgements : ending ? 0ms : kLook;
    const bool taken = outbox_->take(message, ending ? stop : taking_.get_token(), look);
    if (taken && !deliver_one(message, stop)) break;
    settle();
    if (ending && !taken && sent_.empty()) break;
  }
  settle();
  {
    const std::lock_guard lock(mutex_);
    is_idle_ = true;
  }
  changed_.notify_all();
}

}  // namespace verge::pipeline
