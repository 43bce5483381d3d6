// Runner: source → model → sink, the only place that knows all three.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "verge/base/error.hpp"
#include "verge/pipeline/sink.hpp"
#include "verge/pipeline/source.hpp"
#include "verge/processing/worker_pool.hpp"

namespace verge::pipeline {

/// What became of the samples so far.
struct Counts {
  std::int64_t predicted = 0;
  std::int64_t failed = 0;     ///< The sample could not be read or predicted.
  std::int64_t unwritten = 0;  ///< The sink did not take the prediction.
  std::int64_t dropped = 0;    ///< Came too late; left out by the source.
};

/// Told of every sample, by the runner's thread.
class Observer {
 public:
  Observer() = default;
  virtual ~Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual void on_predicted(const Outcome& outcome, const Counts& counts) = 0;
  /// `sample.name` says which; its content may be unusable.
  virtual void on_error(const Sample& sample, const Error& error, const Counts& counts) = 0;
};

/// Runs until the source ends or `stop` is requested. A bad sample is reported and passed over. Workers are taken from
/// the pool for one sample at a time, so that others get their turn.
Counts run(Source& source, processing::WorkerPool& workers, Sink& sink, Observer& observer,
           const std::stop_token& stop);

/// Runs one sample: an encoded picture or a decoded frame.
Result<const processing::Prediction*> predict(processing::Worker& worker, const Sample& sample);

}  // namespace verge::pipeline
