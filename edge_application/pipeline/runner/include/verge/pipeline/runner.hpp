// Runner: source → models → sinks, the only place that knows all three.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/pipeline/sink.hpp"
#include "verge/pipeline/source.hpp"
#include "verge/processing/worker_pool.hpp"

namespace verge::pipeline {

/// Pieces of the picture, one for each box that another model found.
struct Crops {
  std::string of;                   ///< That model.
  std::vector<std::string> labels;  ///< Empty: all.
  float min_score = 0;
  std::size_t most = 8;  ///< The best first.
  float margin = 0;      ///< On each side, as a part of the box's width and height.
};

/// One model of a pipeline.
struct Step {
  std::string model;
  std::optional<Crops> crops;  ///< Absent: the whole sample.
};

struct Plan {
  std::string name;
  std::vector<Step> steps;
  /// Samples that wait while the models work; the oldest are dropped. 0: the source waits, and nothing is dropped.
  std::size_t queue = 0;
  double max_rate_hz = 0;  ///< 0: as many as come.
};

/// A model as a pipeline uses it. Whoever holds it keeps the model.
class Model {
 public:
  Model() = default;
  virtual ~Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  [[nodiscard]] virtual processing::WorkerPool& workers() const = 0;
  /// One sample, or one piece of it, went through or failed.
  virtual void count(const processing::StageTimes& times, bool failed) = 0;
};
/// The model that has a name now: an update takes effect at the next sample.
using FindModel = std::function<Result<std::shared_ptr<Model>>(const std::string& name)>;

/// What became of the samples so far. Every sample that the source had is in one of these, or waits still.
struct Counts {
  std::int64_t predicted = 0;
  std::int64_t failed = 0;     ///< The sample could not be read or predicted.
  std::int64_t unwritten = 0;  ///< A sink did not take the event.
  std::int64_t dropped = 0;    ///< Came too late.
  std::int64_t limited = 0;    ///< Passed over to keep the rate.
};

/// Told of every sample, by the thread that run() is called on.
class Observer {
 public:
  Observer() = default;
  virtual ~Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual void on_predicted(const Event& event, const Counts& counts) = 0;
  /// `sample.name` says which; its content may be unusable.
  virtual void on_error(const Sample& sample, const Error& error, const Counts& counts) = 0;
};

/// Runs until the source ends or `stop` is requested. A bad sample is reported and passed over. Workers are taken from
/// their pools for one run at a time, so that others get their turn. Errors of a sample: those of the processing;
/// failed_precondition (VRG-PIP-001: crops of a model that finds no boxes, or of a sample that is no picture).
Counts run(const Plan& plan, Source& source, const FindModel& models, std::span<const std::unique_ptr<Sink>> sinks,
           Observer& observer, const std::stop_token& stop);

}  // namespace verge::pipeline
