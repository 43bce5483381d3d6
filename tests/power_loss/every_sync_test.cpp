// Every sync is needed: with any single one left out, the suite finds a failure. One that nobody would miss only wears
// out the card.
#include <cstdio>

#include <gtest/gtest.h>

#include "recording.hpp"

namespace verge::power_loss {
namespace {

class LeftOut : public ::testing::TestWithParam<const char*> {};

/// What is found when this sync does nothing; empty: nothing is.
std::string found_without(const Scenario& scenario, std::uint64_t sync, Recoveries& recoveries, bool& by_recovery) {
  Losses losses;
  losses.left_out = sync;
  const auto recording = record(scenario, losses);
  for (const auto& remains : recording.remains) {
    if (const auto& wrong = recoveries.of(remains.image); !wrong.empty()) {
      by_recovery = true;
      return wrong;
    }
  }
  return recording.broken_promises.empty() ? "" : recording.broken_promises.front();
}

TEST_P(LeftOut, IsFound) {
  const auto& of = scenario(GetParam());
  const auto whole = record(of, {});
  Recoveries recoveries(of, whole.final_state);
  std::size_t found = 0;
  std::size_t found_by_recovery = 0;
  for (std::uint64_t sync = 1; sync <= whole.syncs.size(); ++sync) {
    bool by_recovery = false;
    const auto what = found_without(of, sync, recoveries, by_recovery);
    const auto& path = whole.syncs[sync - 1];
    EXPECT_NE(what, "") << "sync " << sync << ", of '" << path << "', is missed by nobody";
    if (!what.empty()) ++found;
    if (by_recovery) ++found_by_recovery;
    if (from_environment("VERGE_POWER_LOSS_TELL", 0) != 0) {
      std::printf("sync %llu of '%s' left out: %s: %s\n", static_cast<unsigned long long>(sync), path.c_str(),
                  by_recovery ? "no recovery" : "broken promise", what.substr(0, 200).c_str());
    }
  }
  std::printf(
      "%s: %zu of %zu syncs are missed when they are left out, %zu by a device that does not recover, the others "
      "by what the store promises\n",
      of.name.c_str(), found, whole.syncs.size(), found_by_recovery);
  EXPECT_GT(whole.syncs.size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Sync, LeftOut,
                         ::testing::Values("join", "update", "rollback", "first_rollback", "refusal", "removal"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace verge::power_loss
