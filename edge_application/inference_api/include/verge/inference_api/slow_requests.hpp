// Slow requests: those that took longer than somebody wants to hear of, with where their time went.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "verge/base/log.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::inference_api {

/// Writes a line for a slow sample, at most one a second. Thread-safe; costs a comparison for one that is not slow.
class SlowRequests {
 public:
  explicit SlowRequests(Log& log) : log_(log) {}

  /// Longest time, waiting included, that is not slow; zero: none is.
  void set_limit(std::chrono::nanoseconds limit) noexcept { limit_ns_.store(limit.count(), std::memory_order_relaxed); }
  void observe(std::string_view model, std::string_view version, const processing::StageTimes& times) {
    const auto limit = limit_ns_.load(std::memory_order_relaxed);
    if (limit > 0 && times.wait_ns + times.total_ns() > limit) write(model, version, times);
  }

 private:
  void write(std::string_view model, std::string_view version, const processing::StageTimes& times);

  Log& log_;
  std::atomic<std::int64_t> limit_ns_{0};
  std::atomic<std::int64_t> next_line_ns_{0};
  std::atomic<std::int64_t> unwritten_{0};
};

}  // namespace verge::inference_api
