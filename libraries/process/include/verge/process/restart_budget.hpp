// Restart budget: how often something may be started again before it is given up.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

namespace verge::process {

/// At most `count` restarts within any `window`. Used by one thread at a time.
class RestartBudget {
 public:
  using Clock = std::chrono::steady_clock;
  RestartBudget(std::size_t count, std::chrono::seconds window) : count_(count), window_(window) {}

  /// Takes one; false when none is left, which stays so.
  bool take(Clock::time_point now);
  [[nodiscard]] bool spent() const noexcept { return spent_; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::chrono::seconds window() const noexcept { return window_; }

 private:
  std::size_t count_;
  std::chrono::seconds window_;
  std::deque<Clock::time_point> taken_;
  bool spent_ = false;
};

}  // namespace verge::process
