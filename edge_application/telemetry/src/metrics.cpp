#include "verge/telemetry/metrics.hpp"

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

class PrometheusPipeline final : public PipelineMetrics {
 public:
  PrometheusPipeline(prometheus::Family<prometheus::Counter>& samples, const std::string& name)
      : predicted_(samples.Add({{"pipeline", name}, {"result", "predicted"}})),
        failed_(samples.Add({{"pipeline", name}, {"result", "failed"}})),
        dropped_(samples.Add({{"pipeline", name}, {"result", "dropped"}})) {}
  void predicted() override { predicted_.Increment(); }
  void failed() override { failed_.Increment(); }
  void dropped(std::int64_t count) override { dropped_.Increment(static_cast<double>(count)); }

 private:
  prometheus::Counter& predicted_;
  prometheus::Counter& failed_;
  prometheus::Counter& dropped_;
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
  return std::make_shared<PrometheusPipeline>(state_->samples, name);
}

std::string Metrics::text() {
  state_->resident.Set(static_cast<double>(resident_bytes()));
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace verge::telemetry
