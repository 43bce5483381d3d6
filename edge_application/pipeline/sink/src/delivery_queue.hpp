// Delivery queue: events on their way to somebody who may be away.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "outbox.hpp"
#include "verge/pipeline/sink.hpp"

namespace verge::pipeline {

/// Delivers in order, in a thread of its own. Thread-safe.
class DeliveryQueue {
 public:
  /// Sends one event. An error of code unavailable is tried again, after `pause` where that is set (above zero), else
  /// with capped backoff; others give the event up; cancelled is the answer to a stop.
  using Deliver = std::function<Result<void>(const Message& message, std::chrono::milliseconds& pause,
                                             const std::stop_token& stop)>;
  /// How many of those that were sent the receiver has acknowledged, in the order they were sent.
  using Acknowledged = std::function<std::int64_t()>;
  /// Without `acknowledged`, what is sent is delivered.
  DeliveryQueue(std::unique_ptr<Outbox> outbox, Deliver deliver, OnSinkError on_error, Acknowledged acknowledged = {});
  /// Gives what waits two seconds more. What is left is lost, or stays in the spool.
  ~DeliveryQueue();
  DeliveryQueue(const DeliveryQueue&) = delete;
  DeliveryQueue& operator=(const DeliveryQueue&) = delete;

  Result<void> push(std::string_view text) { return outbox_->put(text); }
  [[nodiscard]] Deliveries deliveries() const { return outbox_->deliveries(); }

 private:
  void run(const std::stop_token& stop);
  /// Until it is sent or given up. False: stopped.
  bool deliver_one(const Message& message, const std::stop_token& stop);
  /// Marks what the receiver has acknowledged meanwhile.
  void settle();
  void pause(std::chrono::milliseconds time, const std::stop_token& stop);

  const std::unique_ptr<Outbox> outbox_;
  const Deliver deliver_;
  const OnSinkError on_error_;
  const Acknowledged acknowledged_;
  std::deque<std::uint64_t> sent_;  ///< And not marked.
  std::int64_t settled_ = 0;        ///< How many acknowledgements have been seen.
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::stop_source taking_;  ///< Stopped when the end begins.
  bool is_idle_ = false;
  std::jthread thread_;
};

}  // namespace verge::pipeline
