// Every sync is needed: with any single one left out, the suite finds a failure. One that nobody would miss only wears
// out the card.
#include <cstdio>
#include <utility>

#include <fmt/format.h>
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

/// The documents by which a device says how far it is.
std::map<std::string, std::string> told(const DiskImage& image) {
  std::map<std::string, std::string> documents;
  for (const auto& [path, content] : image.files) {
    const bool tells =
        path.ends_with("/update.json") || path.ends_with("/active.json") || path.ends_with("/previous.json");
    if (path.starts_with("/applications/") && tells) documents[path] = *content;
  }
  return documents;
}

/// The agent is killed before this operation, and its power stays; the next one reads what no sync has kept, leaves out
/// its first sync of `path`, and ends. Empty: what it has told by then is durable all the same.
std::string found_after_kill(const Scenario& scenario, const std::string& path, std::uint64_t operation) {
  ModelledDisk disk(scenario.before);
  disk.before_call = [&](simulator::Call call, const std::string&) {
    if (simulator::changes(call) && disk.operations() + 1 == operation) throw simulator::Crash{};
    return 0;
  };
  try {
    DeviceLife killed(hub(), disk);
    killed.want(scenario.wanted);
    killed.run_to_end();
  } catch (const simulator::Crash&) {
  }
  bool left_out = false;
  disk.before_call = [&](simulator::Call call, const std::string& of) {
    if (call == simulator::Call::sync && of == path && !std::exchange(left_out, true)) disk.left_out = disk.syncs() + 1;
    return 0;
  };
  DeviceLife life(hub(), disk);
  life.want(scenario.wanted);
  life.run_to_end();
  if (told(disk.after({})) == told(disk.image())) return {};
  return fmt::format("killed before operation {}, the next run tells what a loss of power undoes", operation);
}

std::string found_after_some_kill(const Scenario& scenario, const std::string& path, std::uint64_t operations) {
  for (std::uint64_t operation = 1; operation <= operations; ++operation) {
    if (auto what = found_after_kill(scenario, path, operation); !what.empty()) return what;
  }
  return {};
}

/// With nothing left out, whenever it was killed.
TEST_P(LeftOut, WhatIsToldAfterAKillIsDurable) {
  const auto& of = scenario(GetParam());
  EXPECT_EQ(found_after_some_kill(of, "none", record(of, {}).operations), "");
}

TEST_P(LeftOut, IsFound) {
  const auto& of = scenario(GetParam());
  const auto whole = record(of, {});
  Recoveries recoveries(of, whole.final_state);
  std::size_t found = 0;
  std::size_t found_by_recovery = 0;
  std::size_t elsewhere = 0;
  for (std::uint64_t sync = 1; sync <= whole.syncs.size(); ++sync) {
    bool by_recovery = false;
    const auto& path = whole.syncs[sync - 1];
    auto what = found_without(of, sync, recoveries, by_recovery);
    if (what.empty()) what = found_after_some_kill(of, path, whole.operations);
    // The sync at the start of what a killed run may have left of an application is looked for in the scenario in which
    // that application is updated.
    if (what.empty() && path.starts_with("/applications/") &&
        (path != "/applications/" + of.application || of.end.empty())) {
      ++elsewhere;
      continue;
    }
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
      "by what the store promises or told after a kill; %zu more are another application's\n",
      of.name.c_str(), found, whole.syncs.size() - elsewhere, found_by_recovery, elsewhere);
  EXPECT_GT(whole.syncs.size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Sync, LeftOut,
                         ::testing::Values("join", "update", "rollback", "first_rollback", "refusal", "removal"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace verge::power_loss
