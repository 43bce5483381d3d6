#include "verge/telemetry/metrics.hpp"

#include <atomic>
#include <map>
#include <mutex>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace verge::telemetry {
namespace {

/// From 50 µs to 10 s, about three a decade.
const prometheus::Histogram::BucketBoundaries kSeconds{0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02,
                                                       0.05,    0.1,    0.2,    0.5,    1,     2,     5,     10};

class PrometheusModel final : public ModelMetrics {
 public:
  PrometheusModel(prometheus::Family<prometheus::Histogram>& stages, prometheus::Family<prometheus::Counter>& requests,
                  prometheus::Labels labels)
      : decode_(stage(stages, labels, "decode")),
        preprocess_(stage(stages, labels, "preprocess")),
        infer_(stage(stages, labels, "infer")),
        postprocess_(stage(stages, labels, "postprocess")),
        requests_(requests),
        labels_(std::move(labels)) {}

  void observe(const processing::StageTimes& times) override {
    const auto put = [](prometheus::Histogram& histogram, std::int64_t ns) {
      if (ns > 0) histogram.Observe(static_cast<double>(ns) / 1e9);
    };
    put(decode_, times.decode_ns);
    put(preprocess_, times.preprocess_ns);
    put(infer_, times.infer_ns);
    put(postprocess_, times.postprocess_ns);
  }
  void count_request(std::string_view code) override {
    auto labels = labels_;
    labels.emplace("code", code);
    requests_.Add(labels).Increment();
  }

 private:
  static prometheus::Histogram& stage(prometheus::Family<prometheus::Histogram>& stages, prometheus::Labels labels,
                                      const char* name) {
    labels.emplace("stage", name);
    return stages.Add(labels, kSeconds);
  }
  prometheus::Histogram& decode_;
  prometheus::Histogram& preprocess_;
  prometheus::Histogram& infer_;
  prometheus::Histogram& postprocess_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Labels labels_;
};

/// A counter that follows what is counted elsewhere. A pipeline that starts again counts from zero: its counter goes
/// on.
class Follower {
 public:
  explicit Follower(prometheus::Counter& counter) : counter_(counter) {}
  void set(std::int64_t total) {
    const std::int64_t before = last_.exchange(total);
    if (total > before) counter_.Increment(static_cast<double>(total - before));
  }

 private:
  prometheus::Counter& counter_;
  std::atomic<std::int64_t> last_{0};
};

struct PipelineFamilies {
  prometheus::Family<prometheus::Counter>& samples;
  prometheus::Family<prometheus::Counter>& reconnects;
  prometheus::Family<prometheus::Counter>& deliveries;
  prometheus::Family<prometheus::Histogram>& ages;
};

struct SpoolFamilies {
  prometheus::Family<prometheus::Counter>& records;
  prometheus::Family<prometheus::Counter>& syncs;
  prometheus::Family<prometheus::Counter>& written;
  prometheus::Family<prometheus::Gauge>& waiting;
  prometheus::Family<prometheus::Gauge>& disk;
  prometheus::Family<prometheus::Gauge>& trouble;
};

class PrometheusSpool final : public SpoolMetrics {
 public:
  PrometheusSpool(const SpoolFamilies& families, const prometheus::Labels& labels)
      : delivered_(records(families, labels, "delivered")),
        full_(records(families, labels, "dropped_full")),
        old_(records(families, labels, "dropped_too_old")),
        refused_(records(families, labels, "dropped_refused")),
        damaged_(records(families, labels, "dropped_damaged")),
        syncs_(families.syncs.Add(labels)),
        written_(families.written.Add(labels)),
        waiting_(families.waiting.Add(labels)),
        disk_(families.disk.Add(labels)),
        trouble_(families.trouble.Add(labels)) {}
  void set(const spool::Counts& now) override {
    const auto follow = [](Follower& follower, std::uint64_t total) { follower.set(static_cast<std::int64_t>(total)); };
    follow(delivered_, now.delivered);
    follow(full_, now.dropped_full);
    follow(old_, now.dropped_old);
    follow(refused_, now.refused);
    follow(damaged_, now.damaged);
    follow(syncs_, now.syncs);
    follow(written_, now.written_bytes);
    waiting_.Set(static_cast<double>(now.waiting));
    disk_.Set(static_cast<double>(now.disk_bytes));
    trouble_.Set(now.disk_trouble ? 1 : 0);
  }

 private:
  static prometheus::Counter& records(const SpoolFamilies& families, prometheus::Labels labels, const char* result) {
    labels.emplace("result", result);
    return families.records.Add(labels);
  }
  Follower delivered_;
  Follower full_;
  Follower old_;
  Follower refused_;
  Follower damaged_;
  Follower syncs_;
  Follower written_;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& disk_;
  prometheus::Gauge& trouble_;
};

class PrometheusPipeline final : public PipelineMetrics {
 public:
  PrometheusPipeline(const PipelineFamilies& families, const std::string& name)
      : deliveries_(families.deliveries),
        name_(name),
        predicted_(families.samples.Add({{"pipeline", name}, {"result", "predicted"}})),
        failed_(families.samples.Add({{"pipeline", name}, {"result", "failed"}})),
        unwritten_(families.samples.Add({{"pipeline", name}, {"result", "unwritten"}})),
        dropped_(families.samples.Add({{"pipeline", name}, {"result", "dropped"}})),
        limited_(families.samples.Add({{"pipeline", name}, {"result", "limited"}})),
        reconnects_(families.reconnects.Add({{"pipeline", name}})),
        age_(families.ages.Add({{"pipeline", name}}, kSeconds)) {}

  void set_samples(const Samples& samples) override {
    predicted_.set(samples.predicted);
    failed_.set(samples.failed);
    unwritten_.set(samples.unwritten);
    dropped_.set(samples.dropped);
    limited_.set(samples.limited);
  }
  void observe_age(std::chrono::nanoseconds age) override { age_.Observe(std::chrono::duration<double>(age).count()); }
  void set_reconnects(std::int64_t count) override { reconnects_.set(count); }
  void set_deliveries(std::size_t sink, std::string_view kind, std::int64_t delivered, std::int64_t dropped) override {
    const auto follow = [&](const char* result, std::int64_t total) {
      const std::lock_guard lock(mutex_);
      auto& follower = sinks_[{sink, result}];
      if (follower == nullptr) {
        follower = std::make_unique<Follower>(deliveries_.Add(
            {{"pipeline", name_}, {"sink", std::to_string(sink)}, {"kind", std::string(kind)}, {"result", result}}));
      }
      follower->set(total);
    };
    follow("delivered", delivered);
    follow("dropped", dropped);
  }

 private:
  prometheus::Family<prometheus::Counter>& deliveries_;
  const std::string name_;
  Follower predicted_;
  Follower failed_;
  Follower unwritten_;
  Follower dropped_;
  Follower limited_;
  Follower reconnects_;
  prometheus::Histogram& age_;
  std::mutex mutex_;
  std::map<std::pair<std::size_t, std::string>, std::unique_ptr<Follower>> sinks_;
};

}  // namespace

struct Metrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Histogram>& stages = prometheus::BuildHistogram()
                                                          .Name("verge_stage_duration_seconds")
                                                          .Help("Time of each stage of a sample, by model and version.")
                                                          .Register(registry);
  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                          .Name("verge_requests_total")
                                                          .Help("Requests answered, by model, version and result.")
                                                          .Register(registry);
  prometheus::Family<prometheus::Counter>& samples = prometheus::BuildCounter()
                                                         .Name("verge_pipeline_samples_total")
                                                         .Help("Samples of each pipeline, by result.")
                                                         .Register(registry);
  prometheus::Family<prometheus::Counter>& reconnects = prometheus::BuildCounter()
                                                            .Name("verge_pipeline_reconnects_total")
                                                            .Help("Times that a pipeline's source came back.")
                                                            .Register(registry);
  prometheus::Family<prometheus::Counter>& deliveries =
      prometheus::BuildCounter()
          .Name("verge_pipeline_events_total")
          .Help("Events of sinks that send them over the network, by result.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& ages = prometheus::BuildHistogram()
                                                        .Name("verge_pipeline_age_seconds")
                                                        .Help("Time from a sample's arrival to its last sink.")
                                                        .Register(registry);
  prometheus::Family<prometheus::Counter>& spool_records = prometheus::BuildCounter()
                                                               .Name("verge_spool_records_total")
                                                               .Help("Events that left a sink's spool, by result.")
                                                               .Register(registry);
  prometheus::Family<prometheus::Counter>& spool_syncs = prometheus::BuildCounter()
                                                             .Name("verge_spool_syncs_total")
                                                             .Help("Times that a spool synced the disk.")
                                                             .Register(registry);
  prometheus::Family<prometheus::Counter>& spool_written = prometheus::BuildCounter()
                                                               .Name("verge_spool_written_bytes_total")
                                                               .Help("Bytes that a spool wrote to the disk.")
                                                               .Register(registry);
  prometheus::Family<prometheus::Gauge>& spool_waiting =
      prometheus::BuildGauge().Name("verge_spool_waiting").Help("Events that wait in a spool.").Register(registry);
  prometheus::Family<prometheus::Gauge>& spool_disk = prometheus::BuildGauge()
                                                          .Name("verge_spool_disk_bytes")
                                                          .Help("What a spool takes of the disk.")
                                                          .Register(registry);
  prometheus::Family<prometheus::Gauge>& spool_trouble = prometheus::BuildGauge()
                                                             .Name("verge_spool_disk_trouble")
                                                             .Help("1 while a spool cannot write to the disk.")
                                                             .Register(registry);
  prometheus::Gauge& resident = prometheus::BuildGauge()
                                    .Name("process_resident_memory_bytes")
                                    .Help("Resident memory of the agent.")
                                    .Register(registry)
                                    .Add({});
};

Metrics::Metrics(const DeviceInfo& device, std::string_view version) : state_(std::make_unique<State>()) {
  prometheus::BuildGauge()
      .Name("verge_device_info")
      .Help("The device and the agent; always 1.")
      .Register(state_->registry)
      .Add({{"host_name", device.host_name},
            {"architecture", device.architecture},
            {"processor", device.processor},
            {"operating_system", device.operating_system},
            {"agent_version", std::string(version)}})
      .Set(1);
}
Metrics::~Metrics() = default;

std::shared_ptr<ModelMetrics> Metrics::model(const std::string& name, const std::string& version,
                                             const std::string& engine) {
  return std::make_shared<PrometheusModel>(
      state_->stages, state_->requests, prometheus::Labels{{"model", name}, {"version", version}, {"engine", engine}});
}

std::shared_ptr<PipelineMetrics> Metrics::pipeline(const std::string& name) {
  return std::make_shared<PrometheusPipeline>(
      PipelineFamilies{state_->samples, state_->reconnects, state_->deliveries, state_->ages}, name);
}

std::shared_ptr<SpoolMetrics> Metrics::spool(const std::string& pipeline, const std::string& sink,
                                             std::string_view kind) {
  return std::make_shared<PrometheusSpool>(
      SpoolFamilies{state_->spool_records, state_->spool_syncs, state_->spool_written, state_->spool_waiting,
                    state_->spool_disk, state_->spool_trouble},
      prometheus::Labels{{"pipeline", pipeline}, {"sink", sink}, {"kind", std::string(kind)}});
}

std::string Metrics::text() {
  state_->resident.Set(static_cast<double>(resident_bytes()));
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace verge::telemetry
