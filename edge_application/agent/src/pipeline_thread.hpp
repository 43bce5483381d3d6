// Pipeline thread: one pipeline of the configuration, running.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "verge/base/log.hpp"
#include "verge/inference_api/model_repository.hpp"
#include "verge/pipeline/runner.hpp"
#include "verge/telemetry/metrics.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Runs from construction to destruction, or to the end of its source. Keeps its model.
class PipelineThread {
 public:
  /// Opens source and sink first. Errors: theirs.
  static Result<std::unique_ptr<PipelineThread>> start(const wire::PipelineEntry& entry,
                                                       std::shared_ptr<inference_api::ServedModel> model,
                                                       telemetry::Metrics& metrics, Log& log);
  ~PipelineThread();
  /// Whether it runs (or, a folder or video, has run to its end) just what start() would run now. A camera that was
  /// lost is started again.
  [[nodiscard]] bool runs(const wire::PipelineEntry& entry,
                          const std::shared_ptr<inference_api::ServedModel>& model) const;
  PipelineThread(const PipelineThread&) = delete;
  PipelineThread& operator=(const PipelineThread&) = delete;

 private:
  class Reporter;
  PipelineThread() = default;
  std::string entry_;  ///< As JSON.
  std::shared_ptr<inference_api::ServedModel> model_;
  std::unique_ptr<pipeline::Source> source_;
  std::unique_ptr<pipeline::Sink> sink_;
  std::unique_ptr<Reporter> reporter_;
  std::atomic<bool> ended_{false};
  std::jthread thread_;
};

}  // namespace verge::agent
