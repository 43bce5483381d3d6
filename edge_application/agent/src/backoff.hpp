// Backoff: how long to wait before the next attempt at what failed.
#pragma once

#include <algorithm>
#include <cstdint>

namespace verge::agent {

/// Doubles, to a limit, with jitter: devices that lost a server together do not come back together.
class Backoff {
 public:
  explicit Backoff(std::int64_t longest_ms) : longest_ms_(longest_ms) {}
  /// In milliseconds.
  std::int64_t next(std::uint64_t random) {
    const auto longest = std::min(longest_ms_, kFirst_ms << std::min(failures_++, 10));
    return longest / 2 + static_cast<std::int64_t>(random % static_cast<std::uint64_t>(longest / 2));
  }
  void reset() { failures_ = 0; }

 private:
  static constexpr std::int64_t kFirst_ms = 1000;
  std::int64_t longest_ms_;
  int failures_ = 0;
};

}  // namespace verge::agent
