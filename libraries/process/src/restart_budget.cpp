#include "verge/process/restart_budget.hpp"

namespace verge::process {

bool RestartBudget::take(Clock::time_point now) {
  while (!taken_.empty() && now - taken_.front() >= window_) taken_.pop_front();
  if (spent_ || taken_.size() >= count_) {
    spent_ = true;
    return false;
  }
  taken_.push_back(now);
  return true;
}

}  // namespace verge::process
