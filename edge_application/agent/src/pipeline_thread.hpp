// Pipeline thread: one pipeline of the configuration, running.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "pipeline_parts.hpp"
#include "verge/base/log.hpp"
#include "verge/inference_api/model_repository.hpp"
#include "verge/telemetry/metrics.hpp"

namespace verge::agent {

/// Runs from construction to destruction, or to the end of its source. Looks its models up for each sample: an update
/// of one interrupts neither source nor sinks.
class PipelineThread {
 public:
  /// Opens source and sinks first; cameras, streams and brokers are waited for in the background. References must
  /// outlive it; `spools` is null where there is no place for any. Errors: those of the parts.
  static Result<std::unique_ptr<PipelineThread>> start(const wire::PipelineEntry& entry,
                                                       const inference_api::ModelRepository& models,
                                                       telemetry::Metrics& metrics, Log& log, Spools* spools);
  ~PipelineThread();
  PipelineThread(const PipelineThread&) = delete;
  PipelineThread& operator=(const PipelineThread&) = delete;

  /// Whether it runs (or has run to its end) just what start() would run now.
  [[nodiscard]] bool runs(const wire::PipelineEntry& entry) const;
  [[nodiscard]] const std::string& name() const noexcept { return entry_.name; }
  /// One JSON object: name, state ("running", "waiting" for its source, "ended"), counts, sinks.
  [[nodiscard]] std::string status_json() const;
  /// Brings the metrics of what happens elsewhere up to date.
  void refresh_metrics() const;
  /// Null: it has none.
  [[nodiscard]] const std::shared_ptr<pipeline::Preview>& preview() const noexcept { return preview_; }
  /// Null: its source is not 'http'.
  [[nodiscard]] const std::shared_ptr<pipeline::SampleQueue>& inbox() const noexcept { return inbox_; }

 private:
  class Reporter;
  class ServedModel;
  PipelineThread() = default;
  void run(const std::stop_token& stop);
  Result<std::shared_ptr<pipeline::Model>> find(const std::string& name);

  wire::PipelineEntry entry_;
  std::string text_;  ///< The entry as JSON.
  const inference_api::ModelRepository* models_ = nullptr;
  std::map<std::string, std::shared_ptr<ServedModel>> found_;  ///< As last looked up.
  std::unique_ptr<Reporter> reporter_;
  std::shared_ptr<pipeline::Preview> preview_;
  std::shared_ptr<pipeline::SampleQueue> inbox_;
  std::vector<std::unique_ptr<pipeline::Sink>> sinks_;
  std::map<std::size_t, std::shared_ptr<telemetry::SpoolMetrics>> spool_metrics_;  ///< By the sink's number.
  std::unique_ptr<pipeline::Source> source_;
  std::atomic<bool> ended_{false};
  std::jthread thread_;
};

}  // namespace verge::agent
