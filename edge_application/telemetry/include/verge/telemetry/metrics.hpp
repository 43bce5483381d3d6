// Metrics: what Prometheus scrapes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "verge/processing/loaded_model.hpp"
#include "verge/telemetry/device_info.hpp"

namespace verge::telemetry {

/// Series of one model version. Cheap to use for every sample; thread-safe.
class ModelMetrics {
 public:
  virtual ~ModelMetrics() = default;
  ModelMetrics(const ModelMetrics&) = delete;
  ModelMetrics& operator=(const ModelMetrics&) = delete;

  /// One sample went through: a histogram for each stage that ran.
  virtual void observe(const processing::StageTimes& times) = 0;
  /// A request was answered; `code` is "ok" or the name of an error code.
  virtual void count_request(std::string_view code) = 0;

 protected:
  ModelMetrics() = default;
};

/// Series of one pipeline.
class PipelineMetrics {
 public:
  virtual ~PipelineMetrics() = default;
  PipelineMetrics(const PipelineMetrics&) = delete;
  PipelineMetrics& operator=(const PipelineMetrics&) = delete;
  virtual void predicted() = 0;
  virtual void failed() = 0;
  virtual void dropped(std::int64_t count) = 0;

 protected:
  PipelineMetrics() = default;
};

/// The registry of one agent. Thread-safe; must outlive what it gives.
class Metrics {
 public:
  explicit Metrics(const DeviceInfo& device, std::string_view version);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  [[nodiscard]] std::shared_ptr<ModelMetrics> model(const std::string& name, const std::string& version,
                                                    const std::string& engine);
  [[nodiscard]] std::shared_ptr<PipelineMetrics> pipeline(const std::string& name);
  /// Prometheus text exposition format 0.0.4.
  [[nodiscard]] std::string text();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace verge::telemetry
