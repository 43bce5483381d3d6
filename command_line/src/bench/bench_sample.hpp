// Bench sample: what a model is measured with.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::cli {

struct BenchSample {
  std::string name;                            ///< For people.
  std::vector<std::byte> content;              ///< A picture, or the values of the first input.
  std::vector<std::vector<std::byte>> inputs;  ///< One for each input tensor.
  bool is_image = false;
};

/// The picture at `image`; else the first golden sample; else zeros. A picture's tensors are what the package's own
/// preprocessing makes of it.
Result<BenchSample> bench_sample(processing::Worker& worker, const std::string& image);

/// Runs the sample through the whole processing.
Result<void> predict(processing::Worker& worker, const BenchSample& sample);

}  // namespace verge::cli
