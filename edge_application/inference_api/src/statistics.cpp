#include "verge/inference_api/statistics.hpp"

namespace verge::inference_api {
namespace {

void add(Statistics::Duration& sum, const Statistics::Duration& part) noexcept {
  sum.count += part.count;
  sum.ns += part.ns;
}

}  // namespace

Statistics::Reading Statistics::read() const {
  Reading reading;
  reading.last_inference_ms = last_ms_.load(std::memory_order_relaxed);
  reading.inference_count = samples_.load(std::memory_order_relaxed);
  reading.success = success_.read();
  reading.execution_count = (runs_.load(std::memory_order_relaxed) + kWhole / 2) / kWhole;
  reading.fail = fail_.read();
  reading.queue = queue_.read();
  for (std::size_t size = 0; size < batches_.size(); ++size) {
    const Batch batch{batches_[size].input.read(), batches_[size].infer.read(), batches_[size].output.read()};
    add(reading.input, batch.input);
    add(reading.infer, batch.infer);
    add(reading.output, batch.output);
    if (size > 0 && batch.infer.count > 0) reading.batches[static_cast<std::int64_t>(size)] = batch;
  }
  return reading;
}

}  // namespace verge::inference_api
