// Delivery queue: texts on their way to somebody who may be away.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "verge/pipeline/sink.hpp"

namespace verge::pipeline {

/// Delivers in order, in a thread of its own. Thread-safe.
class DeliveryQueue {
 public:
  /// Sends one text. An error of code unavailable is tried again, after `pause` where that is set (above zero), else
  /// with capped backoff; others give the text up; cancelled is the answer to a stop.
  using Deliver = std::function<Result<void>(const std::string& text, std::chrono::milliseconds& pause,
                                             const std::stop_token& stop)>;
  DeliveryQueue(std::size_t most, Deliver deliver, OnSinkError on_error);
  /// Gives what waits two seconds more.
  ~DeliveryQueue();
  DeliveryQueue(const DeliveryQueue&) = delete;
  DeliveryQueue& operator=(const DeliveryQueue&) = delete;

  /// The oldest makes room.
  void push(std::string_view text);
  [[nodiscard]] Deliveries deliveries() const;

 private:
  void run(const std::stop_token& stop);
  /// Until it is delivered or given up. False: stopped.
  bool deliver_one(const std::string& text, const std::stop_token& stop);
  void pause(std::chrono::milliseconds time, const std::stop_token& stop);

  const std::size_t most_;
  const Deliver deliver_;
  const OnSinkError on_error_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::string> waiting_;
  bool busy_ = false;
  bool ending_ = false;
  Deliveries counts_;
  std::jthread thread_;
};

}  // namespace verge::pipeline
