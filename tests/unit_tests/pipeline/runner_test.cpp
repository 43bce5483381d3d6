// Source → model → sink: what is counted, what is passed over, and when it ends.
#include "verge/pipeline/runner.hpp"

#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "pipeline_fixture.hpp"

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;

/// What a source is to give.
struct Sent {
  processing::test::Bytes encoded;
  bool fails = false;
};

class ScriptedSource final : public Source {
 public:
  explicit ScriptedSource(std::vector<Sent> steps, bool ends_with_error = false)
      : steps_(std::move(steps)), ends_with_error_(ends_with_error) {}
  Result<bool> advance(const std::stop_token&) override {
    if (pause_.count() > 0 && at_ > 0) std::this_thread::sleep_for(pause_);
    if (at_ == steps_.size()) return false;
    ++at_;
    return true;
  }
  Result<void> load(Sample& sample) override {
    sample.name = "s" + std::to_string(at_ - 1);
    sample.index = static_cast<std::int64_t>(at_ - 1);
    sample.stamp();
    const Sent& sent = steps_[at_ - 1];
    if (sent.fails) return Error(ErrorCode::data_loss, "VRG-TST-001", "by design");
    sample.encoded = sent.encoded;
    return {};
  }
  void pause(std::chrono::milliseconds time) { pause_ = time; }
  [[nodiscard]] bool ended() const noexcept override { return ends_with_error_; }
  [[nodiscard]] std::int64_t dropped() const noexcept override { return dropped_; }
  std::int64_t dropped_ = 0;

 private:
  std::vector<Sent> steps_;
  bool ends_with_error_;
  std::size_t at_ = 0;
  std::chrono::milliseconds pause_{0};
};

struct Written {
  std::vector<std::string> labels;
  std::vector<nlohmann::json> events;
  std::int64_t refused = -1;
  std::chrono::milliseconds pause{0};
};

class WritingSink final : public Sink {
 public:
  explicit WritingSink(Written& written) : written_(written) {}
  Result<void> put(const Event& event) override {
    std::this_thread::sleep_for(written_.pause);
    if (event.sample.index == written_.refused) return Error(ErrorCode::resource_exhausted, "VRG-TST-002", "full");
    written_.events.push_back(nlohmann::json::parse(event.json));
    const auto& prediction = event.findings.front().prediction;
    if (!prediction.classes.empty()) written_.labels.emplace_back(prediction.classes.front().label);
    return {};
  }

 private:
  Written& written_;
};

class Notes final : public Observer {
 public:
  void on_predicted(const Event& event, const Counts& counts) override {
    predicted.push_back(event.sample.name);
    last = counts;
    if (stop_after && predicted.size() == *stop_after) stop.request_stop();
  }
  void on_error(const Sample& sample, const Error& error, const Counts& counts) override {
    errors.push_back(sample.name + ": " + error.id());
    last = counts;
  }
  std::vector<std::string> predicted;
  std::vector<std::string> errors;
  Counts last;
  std::optional<std::size_t> stop_after;
  std::stop_source stop;
};

class Runner : public processing::test::WithFakeEngine {
 protected:
  Runner() { sinks_.push_back(std::make_unique<WritingSink>(written_)); }
  void SetUp() override { serve("classifier", processing::test::classifier()); }
  void serve(const std::string& name, const processing::test::FakePackage& package) {
    const auto model = load(package);
    ASSERT_TRUE(model) << model.error().text();
    models_[name] = test::serve(*model);
  }
  Counts run_plan(const Plan& plan, Source& source) {
    const FindModel find = [this](const std::string& name) -> Result<std::shared_ptr<Model>> {
      const auto found = models_.find(name);
      if (found == models_.end()) return Error(ErrorCode::not_found, "VRG-TST-003", "no model '" + name + "'");
      return std::shared_ptr<Model>(found->second);
    };
    return run(plan, source, find, sinks_, notes_, notes_.stop.get_token());
  }
  Counts run_one(Source& source) { return run_plan(test::plan_for("classifier"), source); }
  static Sent good() { return {processing::test::picture(16, 16, 0, {0, 255}), false}; }
  static Sent bad() { return {processing::test::bytes_of<char>({'n', 'o'}), false}; }
  static Sent failing() { return {{}, true}; }

  std::map<std::string, std::shared_ptr<test::PoolModel>> models_;
  Written written_;
  std::vector<std::unique_ptr<Sink>> sinks_;
  Notes notes_;
};

TEST_F(Runner, CountsWhatBecomesOfEverySample) {
  ScriptedSource source({good(), bad(), failing(), good(), good()});
  source.dropped_ = 10;
  written_.refused = 3;
  const auto counts = run_one(source);
  EXPECT_EQ(counts.predicted, 2);
  EXPECT_EQ(counts.failed, 2);
  EXPECT_EQ(counts.unwritten, 1);
  EXPECT_EQ(counts.dropped, 10);
  EXPECT_EQ(counts.limited, 0);
  EXPECT_THAT(written_.labels, ::testing::ElementsAre("dog", "dog"));
  EXPECT_THAT(notes_.predicted, ::testing::ElementsAre("s0", "s4"));
  EXPECT_THAT(notes_.errors, ::testing::ElementsAre("s1: VRG-IMG-001", "s2: VRG-TST-001", "s3: VRG-TST-002"));
  EXPECT_EQ(models_["classifier"]->runs, 3);
  EXPECT_EQ(models_["classifier"]->failures, 1);
}

TEST_F(Runner, AnErrorThatIsTheLastWordEndsIt) {
  ScriptedSource source({failing(), good()}, true);
  const auto counts = run_one(source);
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.predicted, 0);
}

TEST_F(Runner, AStopEndsItAfterTheSample) {
  ScriptedSource source({good(), good(), good()});
  notes_.stop_after = 2;
  EXPECT_EQ(run_one(source).predicted, 2);
}

TEST_F(Runner, AStopEndsItWhileItWaitsForAWorker) {
  ScriptedSource source({good()});
  const auto taken = models_["classifier"]->workers().acquire(1ms);
  ASSERT_TRUE(taken);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(20ms);
    notes_.stop.request_stop();
  });
  const auto counts = run_one(source);
  EXPECT_EQ(counts.predicted + counts.failed, 0);
}

TEST_F(Runner, AModelThatIsNotThereFailsTheSampleAndAnUpdateTakesEffectAtTheNext) {
  ScriptedSource source({good(), good()});
  const auto served = models_["classifier"];
  models_.clear();
  EXPECT_EQ(run_one(source).failed, 2);
  EXPECT_THAT(notes_.errors, ::testing::ElementsAre("s0: VRG-TST-003", "s1: VRG-TST-003"));
}

TEST_F(Runner, AnEventSaysWhatWasFound) {
  ScriptedSource source({good()});
  run_one(source);
  ASSERT_EQ(written_.events.size(), 1U);
  const auto& event = written_.events[0];
  EXPECT_EQ(event["pipeline"], "test");
  EXPECT_EQ(event["source"], "s0");
  EXPECT_EQ(event["frame"], 0);
  EXPECT_THAT(event["time"].get<std::string>(), ::testing::MatchesRegex("20..-..-..T..:..:..[.]...Z"));
  EXPECT_GE(event["age_ms"].get<double>(), 0);
  const auto& result = event["results"][0];
  EXPECT_EQ(result["model"], "classifier");
  EXPECT_EQ(result["version"], "1.0.0");
  EXPECT_EQ(result["engine"], "fake");
  EXPECT_EQ(result["classes"][0]["label"], "dog");
  for (const char* stage : {"decode", "preprocess", "infer", "postprocess"}) {
    EXPECT_TRUE(result["latency_ms"][stage].is_number()) << stage;
  }
}

TEST(Findings, KeepTheirTextsWhateverTheWorkerDoesNext) {
  std::string cat = "a label that is too long to lie in a string itself";
  std::string dog = "dog";
  std::vector<Finding> findings(1);
  findings[0].prediction.classes = {{0, 1, cat}, {1, 0, dog}, {2, 0, {}}};
  findings[0].prediction.values = {{dog, 3}};
  keep_texts(findings[0]);
  cat.assign(cat.size(), 'x');
  dog = "xxx";
  findings.resize(20);  // They move.
  const auto& prediction = findings[0].prediction;
  EXPECT_EQ(prediction.classes[0].label, "a label that is too long to lie in a string itself");
  EXPECT_EQ(prediction.classes[1].label, "dog");
  EXPECT_TRUE(prediction.classes[2].label.empty());
  EXPECT_EQ(prediction.values[0].name, "dog");
}

TEST_F(Runner, OfALiveSourceTheNewestWinsAndNothingIsUncounted) {
  constexpr int kSamples = 200;
  for (const std::size_t queue : {1U, 5U}) {
    ScriptedSource source(std::vector<Sent>(kSamples, good()));
    source.pause(1ms);
    written_ = {};
    written_.pause = 10ms;
    Plan plan = test::plan_for("classifier");
    plan.queue = queue;
    const auto counts = run_plan(plan, source);
    EXPECT_EQ(counts.predicted + counts.dropped, kSamples);
    EXPECT_GT(counts.dropped, kSamples / 2);
    ASSERT_FALSE(written_.events.empty());
    std::int64_t missing = 0;
    std::int64_t next = 0;
    for (const auto& event : written_.events) {
      EXPECT_GE(event["frame"].get<std::int64_t>(), next);
      missing += event["frame"].get<std::int64_t>() - next;
      next = event["frame"].get<std::int64_t>() + 1;
    }
    EXPECT_EQ(missing, counts.dropped);  // The last is never dropped: nothing newer came.
    EXPECT_EQ(next, kSamples);
  }
}

TEST_F(Runner, ALiveSourceTellsOfBadSamplesInTheirOrder) {
  ScriptedSource source({good(), failing(), good()});
  source.pause(30ms);
  Plan plan = test::plan_for("classifier");
  plan.queue = 1;
  const auto counts = run_plan(plan, source);
  EXPECT_EQ(counts.predicted, 2);
  EXPECT_EQ(counts.failed, 1);
  EXPECT_THAT(notes_.errors, ::testing::ElementsAre("s1: VRG-TST-001"));
}

TEST_F(Runner, ARateIsKept) {
  Plan plan = test::plan_for("classifier");
  plan.max_rate_hz = 50;
  ScriptedSource waits(std::vector<Sent>(6, good()));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run_plan(plan, waits).predicted, 6);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 60ms);

  plan.queue = 1;
  ScriptedSource live(std::vector<Sent>(50, good()));
  live.pause(2ms);
  const auto counts = run_plan(plan, live);
  EXPECT_GT(counts.limited, 25);
  EXPECT_EQ(counts.predicted + counts.dropped + counts.limited, 50);
}

/// A detector, and a classifier of what it finds.
class Cascade : public Runner {
 protected:
  void SetUp() override {
    Runner::SetUp();
    serve("detector", test::detector());
  }
  Plan plan(Crops crops) {
    return {.name = "test", .steps = {{"detector", std::nullopt}, {"classifier", std::move(crops)}}};
  }
};

TEST_F(Cascade, EachBoxIsCutOutForTheNextModel) {
  Crops crops;
  crops.of = "detector";
  ScriptedSource source({good()});
  const auto counts = run_plan(plan(crops), source);
  ASSERT_EQ(counts.predicted, 1) << notes_.errors.size();
  const auto& results = written_.events[0]["results"];
  ASSERT_EQ(results.size(), 2U);
  const auto& boxes = results[0]["boxes"];
  ASSERT_EQ(results[1]["crops"].size(), boxes.size());
  for (const auto& crop : results[1]["crops"]) {
    const auto& box = boxes[crop["box"].get<std::size_t>()];
    EXPECT_EQ(crop["label"], box["label"]);
    EXPECT_EQ(crop["model"], "classifier");
    EXPECT_EQ(crop["kind"], "classes");
    EXPECT_EQ(crop["region"], (nlohmann::json{4.0, 4.0, 12.0, 12.0}));
  }
}

TEST_F(Cascade, OnlyTheBoxesThatAreWanted) {
  Crops crops;
  crops.of = "detector";
  crops.most = 1;
  ScriptedSource one({good()});
  run_plan(plan(crops), one);
  EXPECT_EQ(written_.events.at(0)["results"][1]["crops"].size(), 1U);
  crops.most = 8;
  crops.min_score = 2;
  ScriptedSource none({good()});
  run_plan(plan(crops), none);
  EXPECT_EQ(written_.events.at(1)["results"].size(), 1U);
  crops.min_score = 0;
  crops.labels = {"nothing of this name"};
  ScriptedSource other({good()});
  run_plan(plan(crops), other);
  EXPECT_EQ(written_.events.at(2)["results"].size(), 1U);
}

TEST_F(Cascade, CropsOfWhatFindsNoBoxesAreRefused) {
  Crops crops;
  crops.of = "detector";
  models_["detector"] = models_["classifier"];
  ScriptedSource source({good()});
  EXPECT_EQ(run_plan(plan(crops), source).failed, 1);
  EXPECT_THAT(notes_.errors, ::testing::ElementsAre("s0: VRG-PIP-001"));
}

}  // namespace
}  // namespace verge::pipeline
