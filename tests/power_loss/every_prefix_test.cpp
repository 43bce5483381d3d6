// The power is lost before every single disk operation of an update, a rollback, a refusal and a removal, with what was
// not synced lost, torn and reordered: each time the device ends in the very state that it would have reached without.
//
//   VERGE_POWER_LOSS_MIXES   seeded losses before each operation (20)
//   VERGE_POWER_LOSS_SEED    of the seeded losses (1)
//   VERGE_POWER_LOSS         "<scenario>/<operation>/<names>/<content>/<seed>": this loss and no other
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "recording.hpp"

namespace verge::power_loss {
namespace {

class PowerLoss : public ::testing::TestWithParam<const char*> {
 protected:
  const Scenario& scenario_ = scenario(GetParam());
};

constexpr auto kScenarios = {"join",    "update",         "rollback",         "first_rollback",    "refusal",
                             "removal", "encrypted_join", "encrypted_update", "encrypted_rollback"};
const auto kName = [](const auto& one) { return std::string(one.param); };

TEST_P(PowerLoss, EveryPrefixLeadsToTheSameState) {
  Losses losses;
  losses.mixes = static_cast<int>(from_environment("VERGE_POWER_LOSS_MIXES", 20));
  losses.seed = from_environment("VERGE_POWER_LOSS_SEED", 1);
  if (const char* only = std::getenv("VERGE_POWER_LOSS")) losses.only = only;
  const auto recording = record(scenario_, losses);
  EXPECT_TRUE(recording.broken_promises.empty()) << recording.broken_promises.front();
  Recoveries recoveries(scenario_, recording.final_state);
  std::uint64_t reached = 0;
  for (const auto& remains : recording.remains) {
    const auto& wrong = recoveries.of(remains.image);
    if (wrong.empty()) reached += remains.losses;
    EXPECT_EQ(wrong, "") << "power lost before: " << remains.call << "\nreplay: VERGE_POWER_LOSS=" << remains.first
                         << " VERGE_POWER_LOSS_SEED=" << losses.seed << " VERGE_POWER_LOSS_MIXES=" << losses.mixes
                         << " build/dev/tests/power_loss/test_power_loss"
                         << " --gtest_filter='*EveryPrefix*/" << scenario_.name << "'";
    if (::testing::Test::HasFailure()) break;
  }
  std::printf(
      "%s: %llu disk operations, %zu of them syncs; power lost before each and after the last, %zu different "
      "disks: %llu of %llu losses lead to the same state\n",
      scenario_.name.c_str(), static_cast<unsigned long long>(recording.operations), recording.syncs.size(),
      recording.remains.size(), static_cast<unsigned long long>(reached),
      static_cast<unsigned long long>(recording.losses));
  EXPECT_GT(recording.losses, 0U) << "no such loss";
  if (losses.only.empty()) {
    EXPECT_EQ(reached, recording.losses);
    EXPECT_GE(recording.losses, 5 * recording.operations);
  }
}

/// The agent is killed before an operation, goes on without having lost anything, and then the power is lost: what the
/// first run of it did not get to sync must not be missing.
TEST_P(PowerLoss, AfterAKillBeforeEveryOperation) {
  const auto recording = record(scenario_, {});
  Recoveries recoveries(scenario_, recording.final_state);
  for (std::uint64_t at = 0; at < recording.operations; ++at) {
    ModelledDisk disk(scenario_.before);
    disk.before_call = [&](simulator::Call call, const std::string&) -> int {
      if (simulator::changes(call) && disk.operations() == at) throw simulator::Crash{};
      return 0;
    };
    try {
      DeviceLife first(hub(), disk);
      first.want(scenario_.wanted);
      first.run_to_end();
      FAIL() << "it was not killed at operation " << at;
    } catch (const simulator::Crash&) {
      disk.before_call = nullptr;
    }
    DeviceLife second(hub(), disk);
    for (int i = 0; i < kStepsWithoutHub; ++i) second.step();
    second.want(scenario_.wanted);
    second.run_to_end();
    ASSERT_EQ(recoveries.check(second, disk), "") << "killed at operation " << at;
    for (const auto& loss : {Loss{}, Loss{Loss::Fate::mixed, Loss::Fate::mixed, at, false}}) {
      const auto left = disk.after(loss);
      ASSERT_EQ(recoveries.of_ended(left, scenario_.wanted), "")
          << "killed at operation " << at << ", then the power was lost";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Of, PowerLoss, ::testing::ValuesIn(kScenarios), kName);

}  // namespace
}  // namespace verge::power_loss
