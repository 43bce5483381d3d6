// Metrics: what Prometheus scrapes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "verge/processing/loaded_model.hpp"
#include "verge/spool/spool.hpp"
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

/// Series of one spool. Thread-safe.
class SpoolMetrics {
 public:
  virtual ~SpoolMetrics() = default;
  SpoolMetrics(const SpoolMetrics&) = delete;
  SpoolMetrics& operator=(const SpoolMetrics&) = delete;

  /// What has become of its records so far, over all restarts.
  virtual void set(const spool::Counts& counts) = 0;

 protected:
  SpoolMetrics() = default;
};

/// Series of one pipeline.
class PipelineMetrics {
 public:
  virtual ~PipelineMetrics() = default;
  PipelineMetrics(const PipelineMetrics&) = delete;
  PipelineMetrics& operator=(const PipelineMetrics&) = delete;

  /// What became of the samples so far.
  struct Samples {
    std::int64_t predicted = 0;
    std::int64_t failed = 0;
    std::int64_t unwritten = 0;
    std::int64_t dropped = 0;
    std::int64_t limited = 0;
  };
  virtual void set_samples(const Samples& samples) = 0;
  /// From a sample's arrival to its last sink.
  virtual void observe_age(std::chrono::nanoseconds age) = 0;
  /// Of the source, so far.
  virtual void set_reconnects(std::int64_t count) = 0;
  /// Of the sink with this number, so far.
  virtual void set_deliveries(std::size_t sink, std::string_view kind, std::int64_t delivered,
                              std::int64_t dropped) = 0;

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
  /// Of a pipeline's sink, or of what else keeps records for somebody.
  [[nodiscard]] std::shared_ptr<SpoolMetrics> spool(const std::string& pipeline, const std::string& sink,
                                                    std::string_view kind);
  /// Prometheus text exposition format 0.0.4.
  [[nodiscard]] std::string text();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace verge::telemetry
