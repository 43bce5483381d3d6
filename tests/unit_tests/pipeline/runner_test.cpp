// Source → model → sink: what is counted, what is passed over, and when it ends.
#include "verge/pipeline/runner.hpp"

#include <thread>

#include <gmock/gmock.h>

#include "../model/fake_package.hpp"

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;

/// What a source is to give.
struct Step {
  processing::test::Bytes encoded;
  bool fails = false;
};

class ScriptedSource final : public Source {
 public:
  explicit ScriptedSource(std::vector<Step> steps, bool ends_with_error = false)
      : steps_(std::move(steps)), ends_with_error_(ends_with_error) {}
  Result<bool> next(Sample& sample, const std::stop_token&) override {
    if (at_ == steps_.size()) return false;
    sample.name = "s" + std::to_string(at_);
    sample.index = static_cast<std::int64_t>(at_);
    const Step& step = steps_[at_++];
    if (step.fails) return Error(ErrorCode::data_loss, "VRG-TST-001", "by design");
    sample.encoded = step.encoded;
    return true;
  }
  [[nodiscard]] bool ended() const noexcept override { return ends_with_error_; }
  [[nodiscard]] std::int64_t dropped() const noexcept override { return static_cast<std::int64_t>(at_) * 2; }

 private:
  std::vector<Step> steps_;
  bool ends_with_error_;
  std::size_t at_ = 0;
};

class CountingSink final : public Sink {
 public:
  Result<void> put(const Outcome& outcome) override {
    if (outcome.sample.index == refused_) return Error(ErrorCode::resource_exhausted, "VRG-TST-002", "full");
    labels.emplace_back(outcome.prediction.classes.at(0).label);
    return {};
  }
  std::vector<std::string> labels;
  std::int64_t refused_ = -1;
};

class Notes final : public Observer {
 public:
  void on_predicted(const Outcome& outcome, const Counts& counts) override {
    predicted.push_back(outcome.sample.name);
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
  void SetUp() override {
    const auto model = load(processing::test::classifier());
    ASSERT_TRUE(model);
    auto pool = processing::WorkerPool::create(*model, 1, 0);
    ASSERT_TRUE(pool);
    pool_ = std::move(*pool);
  }
  static Step good() { return {processing::test::picture(16, 16, 0, {0, 255}), false}; }
  static Step bad() { return {processing::test::bytes_of<char>({'n', 'o'}), false}; }
  static Step failing() { return {{}, true}; }

  std::unique_ptr<processing::WorkerPool> pool_;
  CountingSink sink_;
  Notes notes_;
};

TEST_F(Runner, CountsWhatBecomesOfEverySample) {
  ScriptedSource source({good(), bad(), failing(), good(), good()});
  sink_.refused_ = 3;
  const auto counts = run(source, *pool_, sink_, notes_, notes_.stop.get_token());
  EXPECT_EQ(counts.predicted, 2);
  EXPECT_EQ(counts.failed, 2);
  EXPECT_EQ(counts.unwritten, 1);
  EXPECT_EQ(counts.dropped, 10);
  EXPECT_THAT(sink_.labels, ::testing::ElementsAre("dog", "dog"));
  EXPECT_THAT(notes_.predicted, ::testing::ElementsAre("s0", "s4"));
  EXPECT_THAT(notes_.errors, ::testing::ElementsAre("s1: VRG-IMG-001", "s2: VRG-TST-001", "s3: VRG-TST-002"));
}

TEST_F(Runner, AnErrorThatIsTheLastWordEndsIt) {
  ScriptedSource source({failing(), good()}, true);
  const auto counts = run(source, *pool_, sink_, notes_, notes_.stop.get_token());
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.predicted, 0);
}

TEST_F(Runner, AStopEndsItAfterTheSample) {
  ScriptedSource source({good(), good(), good()});
  notes_.stop_after = 2;
  EXPECT_EQ(run(source, *pool_, sink_, notes_, notes_.stop.get_token()).predicted, 2);
}

TEST_F(Runner, AStopEndsItWhileItWaitsForAWorker) {
  ScriptedSource source({good()});
  const auto taken = pool_->acquire(1ms);
  ASSERT_TRUE(taken);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(20ms);
    notes_.stop.request_stop();
  });
  EXPECT_EQ(run(source, *pool_, sink_, notes_, notes_.stop.get_token()).predicted, 0);
}

TEST_F(Runner, PredictsFilesAndFrames) {
  const auto worker = pool_->acquire(1ms);
  ASSERT_TRUE(worker);
  Sample sample;
  sample.encoded = good().encoded;
  EXPECT_EQ((*predict(**worker, sample))->classes[0].label, "dog");
  processing::Image image(16, 16, processing::PixelFormat::rgb);
  for (int y = 0; y < 16; ++y) std::memset(image.row(y), 0, 48);
  image.row(0)[3] = 9;
  sample.encoded.clear();
  sample.frame = image.view();
  EXPECT_EQ((*predict(**worker, sample))->classes[0].label, "fish");
  sample.frame = {};
  EXPECT_FALSE(predict(**worker, sample));
}

}  // namespace
}  // namespace verge::pipeline
