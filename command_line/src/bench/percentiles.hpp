// Percentiles of measured times.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace verge::cli {

/// Times of one thing that was measured, in microseconds.
class Times {
 public:
  void add(double us) {
    times_.push_back(us);
    sorted_ = false;
  }
  [[nodiscard]] std::size_t count() const noexcept { return times_.size(); }
  /// Smallest time that `share` (0 to 1) of all do not exceed, as MLPerf's LoadGen reports it; 0 when there is none.
  [[nodiscard]] double at(double share) {
    if (times_.empty()) return 0;
    if (!sorted_) std::ranges::sort(times_);
    sorted_ = true;
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(times_.size())));
    return times_[std::max<std::size_t>(rank, 1) - 1];
  }

 private:
  std::vector<double> times_;
  bool sorted_ = false;
};

}  // namespace verge::cli
