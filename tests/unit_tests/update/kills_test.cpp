// The agent is killed in every step, at every operation of the step: it ends as it would have.
#include "bench.hpp"

namespace verge::update::test {
namespace {

struct Path {
  Step step;
  Quality quality;
  Step end;
};

class Killed : public ::testing::TestWithParam<Path> {};

/// Throws at the `at`th operation while the record is in `step`; counts all of them.
class Killer {
 public:
  Killer(Bench& bench, Step step, int at) : bench_(bench), step_(step), at_(at) {
    bench.files.fault = bench.network.fault =
        bench.runtime.fault = [this](std::string_view, const std::string&) { return strike(); };
  }
  ~Killer() { bench_.files.fault = bench_.network.fault = bench_.runtime.fault = nullptr; }
  Killer(const Killer&) = delete;
  Killer& operator=(const Killer&) = delete;
  Killer(Killer&&) = delete;
  Killer& operator=(Killer&&) = delete;

  bool struck = false;

 private:
  Result<void> strike() {
    if (!struck && bench_.record().step == step_ && count_++ == at_) {
      struck = true;
      throw Crash{};
    }
    return {};
  }
  Bench& bench_;
  Step step_;
  int at_;
  int count_ = 0;
};

/// Whether the agent was killed: past the last operation of the step it is not.
bool run_with_a_kill(const Path& path, int at) {
  Bench bench;
  bench.policy.min_requests = 1;
  bench.commit();
  const auto before = *bench.runtime.running;
  const auto& wanted = version(path.quality, path.quality == Quality::good ? 1 : 0);
  bool killed = false;
  {
    Killer killer(bench, path.step, at);
    bench.want(wanted, 3);
    // The end of the update before stands in the record until the first step: not that one is meant.
    for (int i = 0; i < 400 && !killer.struck && !bench.ended(); ++i) {
      try {
        bench.step();
      } catch (const Crash&) {
        killed = true;
      }
    }
  }
  if (killed) {
    bench.crash();
    bench.send();
  }
  bench.run_to_end();
  EXPECT_EQ(wire::name(bench.record().step), wire::name(path.end))
      << "killed at operation " << at << ": " << bench.reason();
  const auto& active = path.end == Step::committed ? wanted.desired.digest : before.digest;
  EXPECT_EQ(bench.runtime.running->digest, active) << "killed at operation " << at;
  const auto report = bench.updater->applications().at(0);
  EXPECT_EQ(report.active->digest, active);
  return killed;
}

TEST_P(Killed, EndsInTheSameState) {
  EXPECT_FALSE(run_with_a_kill(GetParam(), 1'000'000)) << "without a kill it ends so, too";
  int at = 0;
  while (run_with_a_kill(GetParam(), at) && !HasFailure() && at < 200) ++at;
  EXPECT_GT(at, 0) << "nothing is ever done in this step";
}

constexpr std::array kPaths{
    Path{Step::pending, Quality::good, Step::committed},
    Path{Step::downloading, Quality::good, Step::committed},
    Path{Step::verifying, Quality::good, Step::committed},
    Path{Step::installing, Quality::good, Step::committed},
    Path{Step::trying, Quality::good, Step::committed},
    Path{Step::switching, Quality::good, Step::committed},
    Path{Step::watching, Quality::good, Step::committed},
    Path{Step::rolling_back, Quality::fails_live, Step::rolled_back},
};
INSTANTIATE_TEST_SUITE_P(In, Killed, ::testing::ValuesIn(kPaths),
                         [](const auto& one) { return "Killed_in_" + std::string(wire::name(one.param.step)); });

class KilledAfter : public ::testing::TestWithParam<Path> {};

TEST_P(KilledAfter, StaysSo) {
  Bench bench;
  bench.policy.min_requests = 1;
  bench.commit();
  if (GetParam().step == Step::failed) bench.runtime.fault = failing("try", "", network_error());
  bench.want(version(GetParam().quality, GetParam().quality == Quality::good ? 1 : 0), 3);
  bench.run_to_end();
  bench.runtime.fault = nullptr;
  ASSERT_EQ(bench.record().step, GetParam().end) << bench.reason();
  const auto running = bench.runtime.running->digest;
  const auto told = bench.record().progress.timeline.size();
  for (int i = 0; i < 5; ++i) {
    bench.crash();
    bench.step();
    EXPECT_EQ(bench.record().step, GetParam().end);
    EXPECT_EQ(bench.runtime.running->digest, running);
    EXPECT_EQ(bench.record().progress.timeline.size(), told) << "an end is told once";
  }
}

constexpr std::array kEnds{
    Path{Step::committed, Quality::good, Step::committed},
    Path{Step::rolled_back, Quality::fails_live, Step::rolled_back},
    Path{Step::refused, Quality::wrong_golden, Step::refused},
    Path{Step::failed, Quality::good, Step::failed},
};
INSTANTIATE_TEST_SUITE_P(In, KilledAfter, ::testing::ValuesIn(kEnds),
                         [](const auto& one) { return "Killed_in_" + std::string(wire::name(one.param.step)); });

TEST(KilledAgain, AFallBackWhoseRecordWasLostIsStillTold) {
  Bench bench;
  bench.commit();
  bench.commit(1);
  const auto& first = version(Quality::good).desired;
  const auto& second = version(Quality::good, 1).desired;
  bench.files.disk.flip_bit("/store/blobs/sha256/" + second.digest.substr(7), 0);
  int kills = 0;
  bench.files.fault = [&](std::string_view operation, const std::string& name) -> Result<void> {
    if (operation == "written" && name.ends_with("/active.json") && kills++ == 0) throw Crash{};
    return {};
  };
  EXPECT_THROW(bench.crash(), Crash);
  bench.start();
  EXPECT_EQ(kills, 1);
  EXPECT_EQ(bench.runtime.running->version, first.version);
  EXPECT_EQ(bench.record().step, Step::rolled_back);
  EXPECT_EQ(bench.reason(), "model0 " + second.version + " could not run; version " + first.version +
                                " runs in its place [VRG-UPD-015]");
}

TEST(KilledAgain, AFallBackWhosePointerCannotBeWrittenRunsAndIsWrittenLater) {
  Bench bench;
  bench.commit();
  bench.commit(1);
  const auto& first = version(Quality::good).desired;
  const auto& second = version(Quality::good, 1).desired;
  bench.files.disk.flip_bit("/store/blobs/sha256/" + second.digest.substr(7), 0);
  int failures = 0;
  bench.files.fault = [&](std::string_view operation, const std::string& name) -> Result<void> {
    // Made, and not durable: the call fails all the same.
    if (operation == "written" && name.ends_with("/active.json") && failures++ < 3) return disk_error();
    return {};
  };
  bench.crash();
  EXPECT_EQ(bench.runtime.running->version, first.version);
  EXPECT_EQ(bench.record().step, Step::committed) << "it is told once it is so";
  for (int i = 0; i < 10; ++i) bench.step();
  EXPECT_EQ(failures, 4);
  EXPECT_EQ(bench.record().step, Step::rolled_back);
  EXPECT_EQ(bench.updater->applications().at(0).active->version, first.version);
  EXPECT_EQ(bench.runtime.running->version, first.version) << "the damaged one is not fetched again meanwhile";
}

TEST(KilledAgain, AFallBackIsReportedThoughTheDiskDoesNotTakeTheRecord) {
  Bench bench;
  bench.commit();
  bench.commit(1);
  const auto& second = version(Quality::good, 1).desired;
  bench.files.disk.flip_bit("/store/blobs/sha256/" + second.digest.substr(7), 0);
  bench.files.fault = failing("write", "/update.json", disk_error());
  bench.crash();
  for (int i = 0; i < 3; ++i) bench.step();
  EXPECT_EQ(bench.record().step, Step::committed) << "what the disk has";
  const auto reported = bench.updater->applications().at(0);
  EXPECT_EQ(reported.active->version, version(Quality::good).desired.version);
  EXPECT_EQ(reported.update->state, wire::UpdateState::rolled_back);
  EXPECT_EQ(reported.update->reason->id, "VRG-UPD-015");
  bench.files.fault = nullptr;
  for (int i = 0; i < 5; ++i) bench.step();
  EXPECT_EQ(bench.record().step, Step::rolled_back);
}

TEST(KilledAgain, AFallBackDoesNotEndTheUpdateThatWaits) {
  Bench bench;
  bench.commit();
  bench.commit(1);
  bench.want(version(Quality::good, 2), 0);
  bench.freeze(true);
  bench.run_to(Step::pending);
  bench.files.disk.flip_bit("/store/blobs/sha256/" + version(Quality::good, 1).desired.digest.substr(7), 0);
  bench.crash();
  EXPECT_EQ(bench.runtime.running->version, version(Quality::good).desired.version);
  EXPECT_EQ(bench.record().step, Step::pending);
  EXPECT_NE(bench.record().progress.timeline.back().text.find("VRG-UPD-015"), std::string::npos);
  bench.freeze(false);
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::committed) << bench.reason();
  EXPECT_EQ(bench.runtime.running->version, version(Quality::good, 2).desired.version);
}

TEST(KilledAgain, AVersionThatEndsTheAgentWhileItLoadsIsNotTriedForEver) {
  Bench bench;
  bench.commit();
  const auto running = bench.runtime.running->digest;
  const auto& bad = version(Quality::good, 1).desired;
  bench.runtime.fault = [&](std::string_view operation, const std::string& name) -> Result<void> {
    if (operation == "switch" && name == bad.version) throw Crash{};
    return {};
  };
  bench.want(version(Quality::good, 1), 3);
  int crashes = 0;
  for (int i = 0; i < 200 && !bench.ended(); ++i) {
    try {
      bench.step();
    } catch (const Crash&) {
      ++crashes;
      bench.crash();
    }
  }
  EXPECT_EQ(crashes, 3);
  EXPECT_EQ(bench.record().step, Step::refused);
  EXPECT_EQ(bench.reason(), "the agent ended 3 times while it loaded this version [VRG-UPD-013]");
  EXPECT_EQ(bench.runtime.running->digest, running);
}

/// An application is given up while its only version is still watched, and wanted again at once in another bad one.
/// Whether the agent was killed in the removal.
bool removed_with_a_kill(int at) {
  Bench bench;
  bench.policy.min_requests = 1'000'000;  // Nothing proves itself.
  bench.want(version(Quality::slow_live), 600);
  bench.run_to(Step::watching);
  bench.desired.applications.clear();
  bench.send();
  bool killed = false;
  int count = 0;
  bench.files.fault = [&](std::string_view, const std::string& name) -> Result<void> {
    if (name != "desired.json" && count++ == at) throw Crash{};
    return {};
  };
  try {
    bench.step();
  } catch (const Crash&) {
    killed = true;
  }
  bench.files.fault = nullptr;
  bench.policy.min_requests = 1;
  if (killed) bench.crash();
  bench.want(version(Quality::fails_live), 3);
  for (int i = 0; i < 400 && !bench.ended(); ++i) bench.step();
  EXPECT_EQ(bench.record().step, Step::rolled_back) << bench.reason();
  EXPECT_FALSE(bench.runtime.running) << "killed at operation " << at << ": " << bench.runtime.running->version
                                      << " runs and never proved itself";
  EXPECT_EQ(bench.files.list("removed").value(), std::vector<std::string>{}) << "killed at operation " << at;
  return killed;
}

TEST(KilledAgain, ARemovalLeavesNoVersionThatNeverProvedItself) {
  int at = 0;
  while (removed_with_a_kill(at) && !HasFailure() && at < 50) ++at;
  EXPECT_GT(at, 2) << "nothing is done to remove an application";
}

}  // namespace
}  // namespace verge::update::test
