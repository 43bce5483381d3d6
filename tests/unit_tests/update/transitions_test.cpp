// Every row of the transition table, each reached by a real Updater.
#include "bench.hpp"

#include "verge/update/transition_table.hpp"

namespace verge::update::test {
namespace {

std::string name_of(Event event) {
  switch (event) {
    case Event::ok: return "ok";
    case Event::same: return "same";
    case Event::wait: return "wait";
    case Event::retry: return "retry";
    case Event::damaged: return "damaged";
    case Event::refuse: return "refuse";
    case Event::give_up: return "give_up";
    case Event::unhealthy: return "unhealthy";
    case Event::superseded: return "superseded";
    case Event::restart: return "restart";
  }
  return "?";
}

/// Brings the device to a step, by way of a version that leads there.
void reach(Bench& bench, Step step, Event event) {
  bench.policy.min_requests = 1;
  bench.commit();
  switch (step) {
    case Step::rolling_back:
    case Step::rolled_back: bench.want(version(Quality::fails_live), 60); break;
    case Step::refused: bench.want(version(Quality::wrong_golden)); break;
    case Step::failed:
      bench.runtime.fault = failing("try", "", network_error());
      bench.want(version(Quality::good, 1));
      break;
    case Step::committed: bench.want(version(Quality::good, 1)); break;
    case Step::trying:
      bench.want(
          version(event == Event::refuse ? Quality::wrong_golden : Quality::good, event == Event::refuse ? 0 : 1));
      break;
    case Step::watching:
      bench.want(event == Event::unhealthy ? version(Quality::fails_live) : version(Quality::good, 1), 60);
      break;
    default:
      bench.want(event == Event::same                              ? version(Quality::good)
                 : event == Event::refuse && step == Step::pending ? version(Quality::unfit)
                                                                   : version(Quality::good, 1),
                 60);
  }
  // A version is wanted and its record is not written yet: the first step does both.
  bench.freeze(step == Step::pending);
  bench.run_to(step);
  bench.desired.frozen = false;
  bench.runtime.fault = nullptr;
}

/// Sets the fault by which a step fails so that it is done again, and in the end given up.
void break_step(Bench& bench, Step step, const Error& disk, const Error& net) {
  switch (step) {
    case Step::pending: bench.files.fault = failing("write", "trust/", disk); break;
    case Step::downloading: bench.files.fault = failing("append", "", disk); break;
    case Step::verifying: bench.files.fault = failing("digest", "", disk); break;
    case Step::installing: bench.files.fault = failing("link", "", disk); break;
    case Step::trying: bench.runtime.fault = failing("try", "", net); break;
    case Step::switching:
    case Step::rolling_back: bench.files.fault = failing("write", "/active.json", disk); break;
    default: FAIL() << "nothing can break here";
  }
}

std::string wanted_hex(const Bench& bench) {
  return bench.record().desired.digest.substr(std::string_view("sha256:").size());
}

void act(Bench& bench, const Transition& row) {
  const Error odd(ErrorCode::permission_denied, "VRG-TST-001", "never to be allowed");
  switch (row.event) {
    case Event::ok:
      if (row.from == Step::watching) bench.clock.pass(61'000);
      bench.send();
      break;
    case Event::same: bench.freeze(false); break;
    case Event::wait:
      if (row.from == Step::pending) bench.freeze(true);
      break;
    case Event::retry:
      if (row.from == Step::pending) {
        bench.network.fault = failing("metadata", "timestamp", network_error());
        bench.send();
      } else if (row.from == Step::watching) {
        // After a restart the content is checked again before it runs, and the disk does not answer.
        bench.files.fault = failing("digest", "", disk_error());
        bench.crash();
      } else {
        break_step(bench, row.from, disk_error(), network_error());
      }
      break;
    case Event::damaged: bench.files.fault = nullptr; break;
    case Event::refuse:
      if (row.from == Step::pending) bench.send();
      if (row.from == Step::downloading) bench.files.free = 1000;
      if (row.from == Step::installing) bench.files.fault = failing("link", "", odd);
      break;
    case Event::give_up:
      // The metadata have been read a moment ago: newer ones are written only where there are none.
      if (row.from == Step::pending) {
        EXPECT_TRUE(bench.files.remove("trust"));
        EXPECT_TRUE(bench.files.sync(""));
        bench.crash();
      }
      break_step(bench, row.from, disk_error(), network_error());
      bench.send();
      break;
    case Event::unhealthy:
      if (row.from == Step::switching) bench.runtime.fault = failing("switch", "", odd);
      if (row.from == Step::watching) bench.clock.pass(5'000);
      if (row.from == Step::committed) {
        // Damaged on the disk; the agent finds out when it checks everything at its next start.
        bench.files.disk.flip_bit("/store/blobs/sha256/" + wanted_hex(bench), 0);
        bench.crash();
      }
      break;
    case Event::superseded: bench.want(version(Quality::good, 2), 60); break;
    case Event::restart: bench.crash(); return;
  }
}

/// What only this event leaves behind.
void check_evidence(const Bench& bench, const Transition& row, const wire::UpdateRecord& before) {
  const auto after = bench.record();
  const auto& timeline = after.progress.timeline;
  ASSERT_FALSE(timeline.empty());
  const auto& told = timeline.back().text;
  switch (row.event) {
    case Event::ok: EXPECT_EQ(after.attempts, 0); break;
    case Event::same: EXPECT_EQ(told, "this version runs already"); break;
    case Event::wait: EXPECT_EQ(timeline.size(), before.progress.timeline.size()); break;
    case Event::retry:
    case Event::damaged:
      EXPECT_GT(after.attempts, 0);
      EXPECT_GT(after.retry_at_ms, 0);
      EXPECT_NE(bench.reason(), "");
      break;
    case Event::refuse:
    case Event::give_up:
    case Event::unhealthy:
      EXPECT_NE(bench.reason(), "");
      EXPECT_EQ(after.desired.deployment, before.desired.deployment);
      break;
    case Event::superseded:
      if (row.from == Step::watching) {
        EXPECT_NE(bench.reason().find("VRG-UPD-014"), std::string::npos) << bench.reason();
      } else {
        EXPECT_NE(after.desired.deployment, before.desired.deployment);
      }
      break;
    case Event::restart: EXPECT_TRUE(is_end(row.to) || told == "the agent started again") << told; break;
  }
}

class EveryRow : public ::testing::TestWithParam<Transition> {};

TEST_P(EveryRow, IsTakenByARealUpdater) {
  const auto row = GetParam();
  Bench bench;
  if (row.from == Step::verifying && (row.event == Event::damaged || row.event == Event::refuse)) {
    bench.commit();
    bench.network.garble = true;
    bench.want(version(Quality::good, 1), 60);
    // The manifest is checked where it is fetched; what a package holds, in the step after.
    bench.network.fault = [&](std::string_view, const std::string& name) -> Result<void> {
      bench.network.garble = name != version(Quality::good, 1).desired.digest;
      return {};
    };
    bench.run_to(Step::verifying);
    for (int i = 0; row.event == Event::refuse && i < 3; ++i) {
      bench.step();
      bench.run_to(Step::verifying);
    }
  } else {
    reach(bench, row.from, row.event);
  }
  if (HasFatalFailure()) return;
  const auto before = bench.record();
  ASSERT_EQ(before.step, row.from);
  act(bench, row);
  if (row.event != Event::restart) bench.step();
  // Given up only after several attempts, each of which is told.
  for (int i = 0; row.event == Event::give_up && bench.record().step == row.from && i < 6; ++i) bench.step();
  EXPECT_EQ(wire::name(bench.record().step), wire::name(row.to)) << bench.reason();
  EXPECT_EQ(bench.record().progress.state, state_of(row.to));
  check_evidence(bench, row, before);
  if (row.from == Step::rolling_back && row.event == Event::restart) bench.step();
  EXPECT_TRUE(bench.runtime.running.has_value() || row.event == Event::retry) << "what runs goes on";
}

INSTANTIATE_TEST_SUITE_P(TransitionTable, EveryRow,
                         ::testing::ValuesIn(transition_table().begin(), transition_table().end()),
                         [](const auto& one) {
                           return std::string(wire::name(one.param.from)) + "_" + name_of(one.param.event);
                         });

TEST(TransitionTableTest, ASwitchThatWasMadeIsFoundDoneAfterARestart) {
  Bench bench;
  bench.commit();
  bench.want(version(Quality::good, 1), 60);
  bench.run_to(Step::switching);
  bench.files.fault = [&](std::string_view operation, const std::string& name) -> Result<void> {
    if (operation == "written" && name.ends_with("/active.json")) throw Crash{};
    return {};
  };
  EXPECT_THROW(bench.step(), Crash);
  bench.files.fault = nullptr;
  bench.crash();
  EXPECT_EQ(bench.record().step, Step::watching);
  EXPECT_EQ(bench.record().starts, 1);
  EXPECT_EQ(bench.runtime.running->version, version(Quality::good, 1).desired.version);
}

TEST(Patience, WhatPassesByItselfNeverEndsAnUpdate) {
  for (const auto& error : {network_error(), Error(ErrorCode::internal, "VRG-HTC-009", "status 500"),
                            Error(ErrorCode::resource_exhausted, "VRG-HTC-009", "status 429")}) {
    Bench bench;
    bench.commit();
    int failures = 0;
    bench.network.fault = [&](std::string_view operation, const std::string&) -> Result<void> {
      if (operation == "blob" && ++failures <= 12) return error;
      return {};
    };
    bench.want(version(Quality::good, 1));
    bench.run_to(Step::committed);
    EXPECT_GE(failures, 12);
  }
}

TEST(Patience, ThreeBreaksAndOneDoubtAreNoReasonToRefuse) {
  Bench bench;
  bench.commit();
  int calls = 0;
  bench.network.fault = [&](std::string_view operation, const std::string&) -> Result<void> {
    if (operation != "blob" || ++calls > 12) return {};
    if (calls % 4 != 0) return network_error();
    return Error(ErrorCode::data_loss, "VRG-UPD-003", "more than was signed");
  };
  bench.want(version(Quality::good, 1));
  bench.run_to(Step::committed);
  EXPECT_GT(calls, 12);
}

TEST(TryAgain, BeginsAnewWhatWasRefusedAndNothingElse) {
  Bench bench;
  bench.commit();
  bench.network.fault = failing("blob", "", Error(ErrorCode::not_found, "VRG-HTC-009", "no such blob"));
  bench.want(version(Quality::good, 1));
  bench.run_to(Step::refused);
  bench.network.fault = nullptr;
  for (int i = 0; i < 5; ++i) bench.step();
  EXPECT_EQ(bench.record().step, Step::refused) << "a refusal stays, as long as nobody does anything";
  bench.updater->try_again();
  bench.run_to(Step::committed);
  bench.network.asked.clear();
  bench.updater->try_again();
  for (int i = 0; i < 5; ++i) bench.step();
  EXPECT_EQ(bench.record().step, Step::committed);
  EXPECT_TRUE(bench.network.asked.empty()) << "what is committed stays so";
}

TEST(Freeze, HoldsARemovalBack) {
  Bench bench;
  bench.commit();
  bench.desired.applications.clear();
  bench.freeze(true);
  for (int i = 0; i < 5; ++i) bench.step();
  EXPECT_TRUE(bench.runtime.running);
  bench.freeze(false);
  for (int i = 0; i < 5; ++i) bench.step();
  EXPECT_FALSE(bench.runtime.running);
}

}  // namespace
}  // namespace verge::update::test
