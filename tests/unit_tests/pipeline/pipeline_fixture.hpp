// What the tests of pipelines share: a model of the fake engine as a pipeline sees it, and events made by hand.
#pragma once

#include "../model/fake_package.hpp"
#include "verge/pipeline/runner.hpp"

namespace verge::pipeline::test {

/// Counts what it is told.
class PoolModel final : public Model {
 public:
  explicit PoolModel(std::unique_ptr<processing::WorkerPool> pool) : pool_(std::move(pool)) {}
  [[nodiscard]] processing::WorkerPool& workers() const override { return *pool_; }
  void count(const processing::StageTimes&, bool failed) override { ++(failed ? failures : runs); }
  int runs = 0;
  int failures = 0;

 private:
  std::unique_ptr<processing::WorkerPool> pool_;
};

inline std::shared_ptr<PoolModel> serve(std::shared_ptr<const processing::LoadedModel> model) {
  auto pool = processing::WorkerPool::create(std::move(model), 1, 0);
  EXPECT_TRUE(pool);
  return std::make_shared<PoolModel>(std::move(*pool));
}

inline Plan plan_for(const std::string& model) {
  return {.name = "test", .steps = {{model, std::nullopt}}};
}

/// Two boxes in the middle of any picture, half its width and height.
inline processing::test::FakePackage detector() {
  auto package = processing::test::classifier();
  package.name = "detector";
  package.task = "detection";
  package.outputs = R"([{"name": "boxes", "datatype": "FP32", "shape": [1, 2, 9]}])";
  package.model = "input picture UINT8 [1,16,16,3]\noutput boxes FP32 [1,2,9]\nfunction constant 8\n";
  package.postprocessing =
      "version: 1\nlabels: labels.txt\nsteps:\n  - yolo_grid: { decode: none, activation: sigmoid }\n"
      "  - score_threshold: { score: 0.5 }\n";
  return package;
}

/// An event with one finding of boxes or classes.
class MadeEvent {
 public:
  explicit MadeEvent(processing::Prediction prediction) {
    findings_.emplace_back();
    findings_.back().prediction = std::move(prediction);
    findings_.back().name = "model";
  }
  Event event(std::string_view json = "{}") { return {"test", sample_, picture_, findings_, json}; }

 private:
  Sample sample_;
  Picture picture_;
  std::vector<Finding> findings_;
};

inline MadeEvent event_of(std::string_view label, float score) {
  processing::Prediction prediction;
  prediction.kind = processing::PredictionKind::classes;
  prediction.classes.push_back({0, score, label});
  return MadeEvent(std::move(prediction));
}

}  // namespace verge::pipeline::test
