#include "pipeline_thread.hpp"

#include <chrono>

#include <nlohmann/json.hpp>

namespace verge::agent {
namespace {

using Clock = std::chrono::steady_clock;

/// Lets one line a second through, and says how many were held back.
class Throttle {
 public:
  /// The number of lines since the last one; nothing when this one is held back.
  std::optional<long long> admit() {
    const auto now = Clock::now();
    if (last_ && now - *last_ < std::chrono::seconds(1)) {
      ++held_back_;
      return std::nullopt;
    }
    last_ = now;
    return std::exchange(held_back_, 0);
  }

 private:
  std::optional<Clock::time_point> last_;
  long long held_back_ = 0;
};

nlohmann::json spool_json(const spool::Counts& counts) {
  return {{"stored", counts.stored},
          {"delivered", counts.delivered},
          {"waiting", counts.waiting},
          {"dropped",
           {{"full", counts.dropped_full},
            {"too_old", counts.dropped_old},
            {"refused", counts.refused},
            {"damaged", counts.damaged}}},
          {"disk_bytes", counts.disk_bytes},
          {"disk_trouble", counts.disk_trouble}};
}

}  // namespace

/// A model of the repository, as a pipeline sees it.
class PipelineThread::ServedModel final : public pipeline::Model {
 public:
  explicit ServedModel(std::shared_ptr<inference_api::ServedModel> served) : served_(std::move(served)) {}
  [[nodiscard]] processing::WorkerPool& workers() const override { return *served_->workers; }
  void count(const processing::StageTimes& times, bool failed) override {
    if (!failed) served_->observe(times);
    served_->tally.count(failed);
  }
  [[nodiscard]] bool is(const std::shared_ptr<inference_api::ServedModel>& served) const { return served_ == served; }

 private:
  std::shared_ptr<inference_api::ServedModel> served_;
};

/// Counts and logs; a source or sink that fails all the time must not flood the log. Thread-safe.
class PipelineThread::Reporter final : public pipeline::Observer {
 public:
  Reporter(std::string name, std::shared_ptr<telemetry::PipelineMetrics> metrics, Log& log)
      : name_(std::move(name)), metrics_(std::move(metrics)), log_(log) {}

  void on_predicted(const pipeline::Event& event, const pipeline::Counts& counts) override {
    metrics_->observe_age(Clock::now() - event.sample.arrived);
    keep(counts);
  }
  void on_error(const pipeline::Sample& sample, const Error& error, const pipeline::Counts& counts) override {
    keep(counts);
    const std::lock_guard lock(mutex_);
    last_error_ = error.text();
    const auto held_back = samples_.admit();
    if (!held_back) return;
    log_.warning("a sample failed", {{"pipeline", name_},
                                     {"source", sample.name},
                                     {"error", error.text()},
                                     {"more_since_the_last_line", *held_back}});
  }
  void on_sink_error(const Error& error) {
    const std::lock_guard lock(mutex_);
    last_error_ = error.text();
    const auto held_back = sinks_.admit();
    if (!held_back) return;
    log_.warning("a sink does not take events", {{"pipeline", name_}, {"error", error.text()}});
  }
  void on_connected(std::int64_t reconnects) {
    const std::lock_guard lock(mutex_);
    connected_ = true;
    reconnects_ = reconnects;
    metrics_->set_reconnects(reconnects);
    log_.info("the source is there", {{"pipeline", name_}, {"reconnects", static_cast<long long>(reconnects)}});
  }
  void on_lost(const Error& error) {
    const std::lock_guard lock(mutex_);
    const bool news = std::exchange(connected_, false) || last_error_ != error.text();
    last_error_ = error.text();
    if (news) log_.warning("the source is away; it is tried again", {{"pipeline", name_}, {"error", error.text()}});
  }
  void finish(const pipeline::Counts& counts) {
    keep(counts);
    log_.info("pipeline ended", {{"pipeline", name_},
                                 {"predicted", static_cast<long long>(counts.predicted)},
                                 {"failed", static_cast<long long>(counts.failed)},
                                 {"unwritten", static_cast<long long>(counts.unwritten)},
                                 {"dropped", static_cast<long long>(counts.dropped)},
                                 {"limited", static_cast<long long>(counts.limited)}});
  }
  void await_source() {
    const std::lock_guard lock(mutex_);
    connected_ = false;
  }
  [[nodiscard]] nlohmann::json status() const {
    const std::lock_guard lock(mutex_);
    nlohmann::json status{{"state", connected_ ? "running" : "waiting"},
                          {"reconnects", reconnects_},
                          {"predicted", counts_.predicted},
                          {"failed", counts_.failed},
                          {"unwritten", counts_.unwritten},
                          {"dropped", counts_.dropped},
                          {"limited", counts_.limited}};
    if (!last_error_.empty()) status["last_error"] = last_error_;
    return status;
  }
  [[nodiscard]] telemetry::PipelineMetrics& metrics() const { return *metrics_; }

 private:
  void keep(const pipeline::Counts& counts) {
    metrics_->set_samples({counts.predicted, counts.failed, counts.unwritten, counts.dropped, counts.limited});
    const std::lock_guard lock(mutex_);
    counts_ = counts;
  }
  const std::string name_;
  const std::shared_ptr<telemetry::PipelineMetrics> metrics_;
  Log& log_;
  mutable std::mutex mutex_;
  bool connected_ = true;
  std::int64_t reconnects_ = 0;
  pipeline::Counts counts_;
  std::string last_error_;
  Throttle samples_;
  Throttle sinks_;
};

Result<std::unique_ptr<PipelineThread>> PipelineThread::start(const wire::PipelineEntry& entry,
                                                              const inference_api::ModelRepository& models,
                                                              telemetry::Metrics& metrics, Log& log, Spools* spools) {
  VERGE_TRY(check_pipeline(entry, "application"));
  std::unique_ptr<PipelineThread> started(new PipelineThread);
  started->entry_ = entry;
  started->text_ = wire::write_json_line(wire::to_node(entry));
  started->models_ = &models;
  started->reporter_ = std::make_unique<Reporter>(entry.name, metrics.pipeline(entry.name), log);
  Reporter& reporter = *started->reporter_;
  pipeline::Connection connection;
  connection.on_connected = [&reporter](std::int64_t reconnects) { reporter.on_connected(reconnects); };
  connection.on_lost = [&reporter](const Error& error) { reporter.on_lost(error); };
  VERGE_ASSIGN(auto sinks, open_sinks(
                               entry, [&reporter](const Error& error) { reporter.on_sink_error(error); }, spools));
  started->sinks_ = std::move(sinks.sinks);
  started->preview_ = std::move(sinks.preview);
  for (std::size_t i = 0; i < entry.sinks.size(); ++i) {
    if (!wants_spool(entry.sinks[i])) continue;
    started->spool_metrics_[i] = metrics.spool(entry.name, std::to_string(i), kind_of(entry.sinks[i]));
  }
  VERGE_ASSIGN(auto source, open_source(entry, connection));
  if (source.reconnects) reporter.await_source();
  started->source_ = std::move(source.source);
  started->inbox_ = std::move(source.inbox);
  started->thread_ = std::jthread([self = started.get()](const std::stop_token& stop) { self->run(stop); });
  return started;
}

PipelineThread::~PipelineThread() {
  if (inbox_ != nullptr) inbox_->close();
}

void PipelineThread::run(const std::stop_token& stop) {
  const auto plan = plan_of(entry_);
  const auto counts = pipeline::run(
      plan, *source_, [this](const std::string& name) { return find(name); }, sinks_, *reporter_, stop);
  reporter_->finish(counts);
  ended_ = true;
  if (preview_ != nullptr) preview_->end();
}

Result<std::shared_ptr<pipeline::Model>> PipelineThread::find(const std::string& name) {
  VERGE_ASSIGN(auto served, models_->find(name, ""));
  auto& found = found_[name];
  if (found == nullptr || !found->is(served)) found = std::make_shared<ServedModel>(std::move(served));
  return std::shared_ptr<pipeline::Model>(found);
}

bool PipelineThread::runs(const wire::PipelineEntry& entry) const {
  return text_ == wire::write_json_line(wire::to_node(entry));
}

std::string PipelineThread::status_json() const {
  auto status = reporter_->status();
  status["name"] = entry_.name;
  status["source"] = kind_of(entry_.source);
  status["preview"] = preview_ != nullptr;
  if (ended_) status["state"] = "ended";
  for (const auto& model : entry_.models) status["models"].push_back(model.model);
  for (std::size_t i = 0; i < sinks_.size(); ++i) {
    nlohmann::json sink{{"kind", kind_of(entry_.sinks[i])}};
    if (entry_.sinks[i].mqtt || entry_.sinks[i].webhook) {
      const auto deliveries = sinks_[i]->deliveries();
      sink["delivered"] = deliveries.delivered;
      sink["dropped"] = deliveries.dropped;
      sink["waiting"] = deliveries.waiting;
      if (deliveries.spool) sink["spool"] = spool_json(*deliveries.spool);
    }
    status["sinks"].push_back(std::move(sink));
  }
  return status.dump();
}

void PipelineThread::refresh_metrics() const {
  for (std::size_t i = 0; i < sinks_.size(); ++i) {
    if (!entry_.sinks[i].mqtt && !entry_.sinks[i].webhook) continue;
    const auto deliveries = sinks_[i]->deliveries();
    reporter_->metrics().set_deliveries(i, kind_of(entry_.sinks[i]), deliveries.delivered, deliveries.dropped);
    if (deliveries.spool) spool_metrics_.at(i)->set(*deliveries.spool);
  }
}

}  // namespace verge::agent
