#include "pipeline_thread.hpp"

#include <chrono>

namespace verge::agent {

/// Counts and logs; a source that fails on every sample must not flood the log.
class PipelineThread::Reporter final : public pipeline::Observer {
 public:
  Reporter(std::string name, std::shared_ptr<inference_api::ServedModel> model,
           std::shared_ptr<telemetry::PipelineMetrics> metrics, Log& log)
      : name_(std::move(name)), model_(std::move(model)), metrics_(std::move(metrics)), log_(log) {}

  void on_predicted(const pipeline::Outcome& outcome, const pipeline::Counts& counts) override {
    model_->observe(outcome.worker.times());
    model_->tally.count(false);
    metrics_->predicted();
    count_dropped(counts);
  }
  void on_error(const pipeline::Sample& sample, const Error& error, const pipeline::Counts& counts) override {
    metrics_->failed();
    model_->tally.count(true);
    count_dropped(counts);
    const auto now = std::chrono::steady_clock::now();
    if (last_ && now - *last_ < std::chrono::seconds(1)) {
      ++unlogged_;
      return;
    }
    log_.warning("a sample failed", {{"pipeline", name_},
                                     {"source", sample.name},
                                     {"error", error.text()},
                                     {"more_since_the_last_line", static_cast<long long>(unlogged_)}});
    last_ = now;
    unlogged_ = 0;
  }
  void finish(const pipeline::Counts& counts) const {
    log_.info("pipeline ended", {{"pipeline", name_},
                                 {"predicted", static_cast<long long>(counts.predicted)},
                                 {"failed", static_cast<long long>(counts.failed)},
                                 {"unwritten", static_cast<long long>(counts.unwritten)},
                                 {"dropped", static_cast<long long>(counts.dropped)}});
  }

 private:
  void count_dropped(const pipeline::Counts& counts) {
    metrics_->dropped(counts.dropped - dropped_);
    dropped_ = counts.dropped;
  }
  std::string name_;
  std::shared_ptr<inference_api::ServedModel> model_;
  std::shared_ptr<telemetry::PipelineMetrics> metrics_;
  Log& log_;
  std::int64_t dropped_ = 0;
  std::optional<std::chrono::steady_clock::time_point> last_;
  std::int64_t unlogged_ = 0;
};

namespace {

Result<std::unique_ptr<pipeline::Source>> open_source(const wire::Source& source) {
  if (source.folder) return pipeline::folder_source(source.folder->path, source.folder->watch);
  if (source.video) return pipeline::video_source(source.video->path, {source.video->loop, source.video->paced});
  const auto& camera = *source.camera;
  return pipeline::camera_source(static_cast<int>(camera.device), static_cast<int>(camera.width.value_or(0)),
                                 static_cast<int>(camera.height.value_or(0)));
}

}  // namespace

Result<std::unique_ptr<PipelineThread>> PipelineThread::start(const wire::PipelineEntry& entry,
                                                              std::shared_ptr<inference_api::ServedModel> model,
                                                              telemetry::Metrics& metrics, Log& log) {
  std::unique_ptr<PipelineThread> started(new PipelineThread);
  VERGE_ASSIGN(started->source_, open_source(entry.source));
  VERGE_ASSIGN(started->sink_, pipeline::json_lines_sink(entry.sink.json_lines->path));
  started->entry_ = wire::write_json_line(wire::to_node(entry));
  started->model_ = std::move(model);
  started->reporter_ = std::make_unique<Reporter>(entry.name, started->model_, metrics.pipeline(entry.name), log);
  started->thread_ = std::jthread([self = started.get()](const std::stop_token& stop) {
    const auto counts = pipeline::run(*self->source_, *self->model_->workers, *self->sink_, *self->reporter_, stop);
    self->reporter_->finish(counts);
    self->ended_ = true;
  });
  return started;
}

PipelineThread::~PipelineThread() = default;

bool PipelineThread::runs(const wire::PipelineEntry& entry,
                          const std::shared_ptr<inference_api::ServedModel>& model) const {
  return model_ == model && !(ended_ && entry.source.camera) && entry_ == wire::write_json_line(wire::to_node(entry));
}

}  // namespace verge::agent
