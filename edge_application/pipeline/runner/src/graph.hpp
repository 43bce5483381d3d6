// Graph: the models of a pipeline, run one after the other on one sample.
#pragma once

#include "verge/pipeline/runner.hpp"

namespace verge::pipeline {

/// Keeps its memory from sample to sample. Used by one thread.
class Graph {
 public:
  /// References must outlive it.
  Graph(const Plan& plan, const FindModel& models);

  /// Valid until the next sample. Errors: as run() says; cancelled (VRG-MDL-008) once `stop` is requested.
  Result<Event> run(const Sample& sample, const std::stop_token& stop);

 private:
  Result<void> run_step(const Step& step, const Sample& sample, const std::stop_token& stop);
  Result<void> run_crops(const Step& step, Model& model, const std::shared_ptr<Model>& keep, const Sample& sample,
                         const std::stop_token& stop);
  /// Has a worker predict, and notes what it found.
  Result<void> note(const Step& step, const std::shared_ptr<Model>& model, const std::stop_token& stop,
                    const std::function<Result<const processing::Prediction*>(processing::Worker&)>& predict,
                    const std::optional<Crop>& crop);
  Finding& next_finding();
  [[nodiscard]] std::size_t finding_of(const std::string& model) const;

  const Plan& plan_;
  const FindModel& models_;
  bool shares_picture_;  ///< Several steps look at it: decoded once.
  Picture picture_;
  std::vector<Finding> findings_;  ///< Of which `count_` are this sample's.
  std::size_t count_ = 0;
  std::vector<Crop> crops_;
  std::string json_;
};

}  // namespace verge::pipeline
