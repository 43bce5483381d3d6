// Golden replay: a package's golden samples, run and compared.
#pragma once

#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing {

/// What became of one golden sample.
struct GoldenResult {
  std::string sample;
  bool passed = false;
  std::string difference;  ///< Expected and got, when it did not pass.
};

/// Runs every golden sample of the worker's model. An error means that a sample could not be run at all (a file is
/// damaged, the engine failed); a wrong answer is a result.
Result<std::vector<GoldenResult>> replay_golden(Worker& worker);

}  // namespace verge::processing
