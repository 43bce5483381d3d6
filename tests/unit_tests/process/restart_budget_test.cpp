// Restart budgets: within a window, and for good once they are spent.
#include "verge/process/restart_budget.hpp"

#include <gtest/gtest.h>

namespace verge::process {
namespace {

using namespace std::chrono_literals;

TEST(RestartBudgets, LastForAWindow) {
  RestartBudget budget(2, 60s);
  const RestartBudget::Clock::time_point start{};
  EXPECT_TRUE(budget.take(start));
  EXPECT_TRUE(budget.take(start + 30s));
  EXPECT_TRUE(budget.take(start + 60s)) << "the first is out of the window";
  EXPECT_FALSE(budget.spent());
  EXPECT_FALSE(budget.take(start + 70s));
  EXPECT_TRUE(budget.spent());
  EXPECT_FALSE(budget.take(start + 1000s)) << "given up is given up";
}

TEST(RestartBudgets, MayBeNone) {
  RestartBudget budget(0, 60s);
  EXPECT_FALSE(budget.take({}));
}

}  // namespace
}  // namespace verge::process
