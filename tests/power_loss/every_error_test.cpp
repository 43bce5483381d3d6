// A disk that does not answer, or is full, at every single call: the update is tried again or fails, as the transition
// table says, and once the disk works the device ends in the very state that it would have reached without.
//
//   VERGE_DISK_ERROR_STRIDE   every so manieth call (7); 1: each
#include <cerrno>
#include <cstdio>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "recording.hpp"

namespace verge::power_loss {
namespace {

struct Fault {
  const char* name;
  int number;
  std::uint64_t lasts_calls;
};

class DiskError : public ::testing::TestWithParam<std::tuple<const char*, Fault>> {};

bool can_fail(simulator::Call call, int number) {
  using simulator::Call;
  if (number != ENOSPC) return true;
  return simulator::changes(call) && call != Call::unlink && call != Call::remove_folder;
}

/// Deploys again what was given up, as a person would once the disk works.
wire::DesiredState again(const Scenario& scenario) {
  auto wanted = scenario.wanted;
  wanted.version += 1;
  for (auto& application : wanted.applications) {
    if (application.application == scenario.application) application.deployment += "-again";
  }
  return wanted;
}

TEST_P(DiskError, AtEveryCallLeadsToTheSameState) {
  const auto& of = scenario(std::get<0>(GetParam()));
  const auto fault = std::get<1>(GetParam());
  const auto whole = record(of, {});
  Recoveries recoveries(of, whole.final_state);
  const auto stride = from_environment("VERGE_DISK_ERROR_STRIDE", 7);
  std::uint64_t tried = 0;
  std::uint64_t deployed_again = 0;
  for (std::uint64_t at = 1; at <= whole.calls; at += stride, ++tried) {
    const auto where = fmt::format("the disk fails at call {}", at);
    ModelledDisk disk(of.before);
    std::uint64_t calls = 0;
    disk.before_call = [&](simulator::Call call, const std::string&) -> int {
      ++calls;
      const bool now = calls >= at && calls < at + fault.lasts_calls;
      return now && can_fail(call, fault.number) ? fault.number : 0;
    };
    DeviceLife life(hub(), disk);
    auto wanted = of.wanted;
    life.want(wanted);
    life.run_to_end();
    if (const auto end = life.end_of(of.application); end != of.end) {
      ASSERT_EQ(end, "failed") << where;
      ASSERT_GT(fault.lasts_calls, 1U) << where << " once, and the update is given up";
      disk.before_call = nullptr;
      wanted = again(of);
      life.want(wanted);
      life.run_to_end();
      ++deployed_again;
    }
    disk.before_call = nullptr;
    for (int i = 0; i < 2; ++i) life.step();
    ASSERT_EQ(recoveries.check(life, disk), "") << where;
    // A sync that failed has kept nothing, and the one after it, that succeeded, perhaps neither.
    ASSERT_EQ(recoveries.of_ended(disk.after({}), wanted), "") << where << ", and the power is lost afterwards";
  }
  std::printf("%s, %s: %llu of %llu lead to the same state, %llu after another deployment\n", of.name.c_str(),
              fault.name, static_cast<unsigned long long>(tried), static_cast<unsigned long long>(tried),
              static_cast<unsigned long long>(deployed_again));
}

INSTANTIATE_TEST_SUITE_P(
    Error, DiskError,
    ::testing::Combine(::testing::Values("join", "update", "rollback", "first_rollback", "refusal", "removal"),
                       ::testing::Values(Fault{"EIO_once", EIO, 1}, Fault{"ENOSPC_once", ENOSPC, 1},
                                         Fault{"EIO_for_long", EIO, 100}, Fault{"ENOSPC_for_long", ENOSPC, 100})),
    [](const auto& one) { return std::string(std::get<0>(one.param)) + "_" + std::get<1>(one.param).name; });

}  // namespace
}  // namespace verge::power_loss
