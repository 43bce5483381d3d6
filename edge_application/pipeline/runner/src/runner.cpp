#include "verge/pipeline/runner.hpp"

namespace verge::pipeline {

Result<const processing::Prediction*> predict(processing::Worker& worker, const Sample& sample) {
  if (sample.encoded.empty() && !sample.frame.empty()) return worker.predict_image(sample.frame);
  return worker.model().takes_image() ? worker.predict_encoded(sample.encoded) : worker.predict_values(sample.encoded);
}

Counts run(Source& source, processing::WorkerPool& workers, Sink& sink, Observer& observer,
           const std::stop_token& stop) {
  Counts counts;
  Sample sample;
  while (!stop.stop_requested()) {
    const auto more = source.next(sample, stop);
    counts.dropped = source.dropped();
    if (!more) {
      ++counts.failed;
      observer.on_error(sample, more.error(), counts);
      if (source.ended()) break;
      continue;
    }
    if (!*more) break;
    auto worker = workers.acquire(stop);
    if (!worker) break;
    const auto prediction = predict(**worker, sample);
    if (!prediction) {
      ++counts.failed;
      observer.on_error(sample, prediction.error(), counts);
      continue;
    }
    const Outcome outcome{sample, **prediction, **worker};
    if (const auto put = sink.put(outcome); put) {
      ++counts.predicted;
      observer.on_predicted(outcome, counts);
    } else {
      ++counts.unwritten;
      observer.on_error(sample, put.error(), counts);
    }
  }
  return counts;
}

}  // namespace verge::pipeline
