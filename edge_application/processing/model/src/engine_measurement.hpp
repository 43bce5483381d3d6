// Measurement: how fast a loaded model is on this machine.
#pragma once

#include "verge/base/error.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing {

/// Median time of one inference of what the worker's inputs hold, in milliseconds.
Result<double> median_ms(Worker& worker);

/// Rows a second that `workers` workers of the model do side by side, with `batch_rows` rows in each inference.
Result<double> rows_per_second(const LoadedModel& model, unsigned workers, std::int64_t batch_rows);

}  // namespace verge::processing
