// What is refused and what goes back, with the words for it.
#include <gmock/gmock.h>

#include "bench.hpp"

namespace verge::update::test {
namespace {

struct Refusal {
  const char* name;
  Quality quality;
  const char* reason;
};

class Refused : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refused, SaysWhyAndWhatRunsGoesOn) {
  Bench bench;
  bench.commit();
  const auto running = bench.runtime.running->digest;
  bench.want(version(GetParam().quality));
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::refused);
  EXPECT_EQ(bench.reason(), GetParam().reason);
  EXPECT_EQ(bench.runtime.running->digest, running);
}

constexpr std::array kRefusals{
    Refusal{"requirements", Quality::unfit, "needs openvino>=9999.1; has litert 2.3 [VRG-FIT-001]"},
    Refusal{"wrong_golden", Quality::wrong_golden,
            "model 'model0' on litert: 1 of 4 golden samples are wrong: 'cat.png': expected cat, got dog; the version "
            "before goes on [VRG-UPD-007]"},
    Refusal{"slow", Quality::slow,
            "model 'model0': expected an inference of at most 10 ms, got 50.000 ms; the version before goes on "
            "[VRG-UPD-008]"},
    Refusal{"large", Quality::large,
            "model 'model0': expected memory of at most 1.0 MiB, got 1.0 GiB; the version before goes on "
            "[VRG-UPD-009]"},
};
INSTANTIATE_TEST_SUITE_P(Reasons, Refused, ::testing::ValuesIn(kRefusals),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(RefusedTest, WhatWasNotSignedIsNeverFetched) {
  Bench bench;
  bench.commit();
  bench.network.asked.clear();
  bench.want(version(Quality::unsigned_));
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::refused);
  EXPECT_NE(bench.reason().find("VRG-TUF-"), std::string::npos) << bench.reason();
  EXPECT_TRUE(bench.network.asked.empty());
}

TEST(RefusedTest, AnotherDigestThanWasSignedIsRefused) {
  Bench bench;
  bench.commit();
  auto lie = version(Quality::good, 1);
  lie.desired.digest = version(Quality::good, 2).desired.digest;
  bench.want(lie);
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::refused);
  EXPECT_NE(bench.reason().find("what the hub asks for is not what was signed [VRG-UPD-001]"), std::string::npos)
      << bench.reason();
}

TEST(RefusedTest, TheRunningContentUnderAnotherVersionIsRefused) {
  Bench bench;
  bench.commit();
  auto lie = version(Quality::good, 1);
  lie.desired.digest = version(Quality::good).desired.digest;
  bench.want(lie);
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::refused);
  EXPECT_NE(bench.reason().find("VRG-UPD-001"), std::string::npos) << bench.reason();
}

TEST(RefusedTest, ContentThatStaysDamagedIsFetchedAFewTimesOnly) {
  Bench bench;
  bench.commit();
  const auto& wanted = version(Quality::good, 1);
  bench.network.fault = [&](std::string_view, const std::string& name) -> Result<void> {
    bench.network.garble = name != wanted.desired.digest;
    return {};
  };
  bench.network.asked.clear();
  bench.want(wanted);
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::refused);
  EXPECT_NE(bench.reason().find("VRG-UPD-004"), std::string::npos) << bench.reason();
  EXPECT_LE(bench.network.asked.size(), 16U);
}

TEST(RefusedTest, ADiskWithoutSpaceIsToldBeforeItIsFilled) {
  Bench bench;
  bench.commit();
  bench.files.free = std::uint64_t{1} << 20U;
  bench.want(version(Quality::good, 1));
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::refused);
  EXPECT_NE(bench.reason().find("free some space and deploy again [VRG-UPD-006]"), std::string::npos) << bench.reason();
}

/// What a version did live, before and after a switch.
struct Live {
  double before_p50 = 2, before_failed = 0, p50 = 2, failed = 0;
  std::int64_t requests = 100;
};

/// The end of an update whose models do so.
std::pair<Step, std::string> watched(const Live& live, const wire::WatchPolicy& policy, bool restart = false) {
  Bench bench;
  bench.policy = policy;
  bench.commit();
  const auto& next = version(Quality::good, 1);
  bench.runtime.on_live = [&](const wire::DevicePointer& running) -> std::vector<LiveModel> {
    const bool is_new = running.digest == next.desired.digest;
    const auto failed = static_cast<std::int64_t>((is_new ? live.failed : live.before_failed) *
                                                  static_cast<double>(is_new ? live.requests : 1000));
    return {{"model0", is_new ? live.requests : 1000, failed, is_new ? live.p50 : live.before_p50, 9, {}}};
  };
  bench.want(next, 5);
  if (restart) {
    bench.run_to(Step::watching);
    bench.crash();
    bench.send();
  }
  bench.run_to_end();
  return {bench.record().step, bench.reason()};
}

wire::WatchPolicy ratios(double latency, std::int64_t min_requests = 20) {
  wire::WatchPolicy policy;
  policy.max_latency_ratio = latency;
  policy.min_requests = min_requests;
  return policy;
}

TEST(Watch, ErrorsCountAgainstWhatTheVersionBeforeHad) {
  EXPECT_EQ(watched({.failed = 0.02}, ratios(0)).first, Step::committed);
  const auto [step, reason] = watched({.failed = 0.05}, ratios(0));
  EXPECT_EQ(step, Step::rolled_back);
  EXPECT_EQ(reason,
            "model 'model0' on live traffic: expected at most 2 % of requests to fail, got 5 % (5 of 100); the version "
            "before is back [VRG-UPD-011]");
  // Clients that send rubbish did so before.
  EXPECT_EQ(watched({.before_failed = 0.10, .failed = 0.11}, ratios(0)).first, Step::committed);
  EXPECT_EQ(watched({.before_failed = 0.10, .failed = 0.20}, ratios(0)).first, Step::rolled_back);
}

TEST(Watch, LatencyCountsAgainstTheVersionBeforeAndTheBudget) {
  EXPECT_EQ(watched({.p50 = 3.9}, ratios(2)).first, Step::committed);
  const auto [step, reason] = watched({.p50 = 4.5}, ratios(2));
  EXPECT_EQ(step, Step::rolled_back);
  EXPECT_EQ(reason,
            "model 'model0' on live traffic: expected an inference of at most 4.000 ms (2 × 2.000 ms of the version "
            "before), got 4.500 ms (median of 100 requests); the version before is back [VRG-UPD-012]");
  EXPECT_EQ(watched({.p50 = 9}, ratios(0)).first, Step::committed) << "0 allows any ratio";
  const auto [over, why] = watched({.before_p50 = 11, .p50 = 11}, ratios(0));
  EXPECT_EQ(over, Step::rolled_back);
  EXPECT_NE(why.find("at most 10 ms (its budget), got 11.000 ms"), std::string::npos) << why;
}

TEST(Watch, ARestartDoesNotForgetTheVersionBefore) {
  EXPECT_EQ(watched({.p50 = 4.5}, ratios(2), true).first, Step::rolled_back);
  EXPECT_EQ(watched({.before_failed = 0.10, .failed = 0.11}, ratios(0), true).first, Step::committed);
}

TEST(Watch, FewRequestsProveNothing) {
  EXPECT_EQ(watched({.p50 = 9, .failed = 1, .requests = 19}, ratios(2)).first, Step::committed);
  EXPECT_EQ(watched({.p50 = 9, .failed = 1, .requests = 20}, ratios(2)).first, Step::rolled_back);
}

TEST(Watch, AVersionThatDoesNotServeGoesBack) {
  Bench bench;
  bench.commit();
  bench.runtime.on_live = [](const auto&) { return std::vector<LiveModel>{}; };
  bench.want(version(Quality::good, 1), 5);
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::rolled_back);
  EXPECT_EQ(bench.reason(), "expected 1 models to be served, got 0; the version before is back [VRG-UPD-010]");
}

/// "model0" answers no more once `digest` runs.
void give_up(Bench& bench, const std::string& digest) {
  bench.runtime.on_live = [digest](const wire::DevicePointer& running) {
    LiveModel live{"model0", 100, 0, 2, 2, {}};
    if (running.digest == digest) live.given_up = "is given up";
    return std::vector{live};
  };
}

TEST(Watch, AModelThatIsGivenUpGoesBackWhateverItsNumbers) {
  Bench bench;
  bench.commit();
  const auto& next = version(Quality::good, 1);
  give_up(bench, next.desired.digest);
  bench.want(next, 5);
  bench.run_to_end();
  EXPECT_EQ(bench.record().step, Step::rolled_back);
  EXPECT_EQ(bench.reason(), "model 'model0' on live traffic: is given up; the version before is back [VRG-UPD-017]");
}

TEST(Watch, AModelThatIsGivenUpLongAfterItProvedItselfGoesBackToo) {
  Bench bench;
  bench.commit();
  const auto before = bench.runtime.running->digest;
  const auto& next = version(Quality::good, 1);
  bench.want(next, 5);
  bench.run_to_end();
  ASSERT_EQ(bench.record().step, Step::committed);
  give_up(bench, next.desired.digest);
  bench.step();
  EXPECT_EQ(bench.record().step, Step::rolled_back);
  EXPECT_EQ(bench.runtime.running->digest, before);
  EXPECT_THAT(bench.reason(), ::testing::HasSubstr("cannot run: model 'model0' is given up; version"));
  bench.crash();
  EXPECT_EQ(bench.runtime.running->digest, before) << "and stays there";
  give_up(bench, before);
  bench.step();
  EXPECT_EQ(bench.runtime.running->digest, before) << "there is nowhere else to go";
}

}  // namespace
}  // namespace verge::update::test
