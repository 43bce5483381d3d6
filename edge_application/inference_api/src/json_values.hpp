// JSON values: a tensor's "data", from text straight into memory.
#pragma once

#include <string_view>

#include "verge/base/error.hpp"
#include "verge/processing/tensor.hpp"

namespace verge::inference_api {

/// Writes a list, nested or flat, of the tensor's own type. Errors: invalid_argument (VRG-API-013) with the number of
/// values that fit and a corrected example.
Result<void> write_json_values(std::string_view list, const processing::TensorSpec& spec,
                               const processing::TensorView& tensor);

}  // namespace verge::inference_api
