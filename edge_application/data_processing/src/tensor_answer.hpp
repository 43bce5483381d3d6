// Tensor answer: what a step's process says of the tensors that it has written, checked.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "step_frame.hpp"
#include "verge/base/error.hpp"
#include "verge/processing/tensor.hpp"

namespace verge::data_processing {

/// `content`: StepTensors, foreign; copied into `tensors` before they are looked at. Each must be of the type and of
/// dimensions that `specs` allow, and lie within `made`; `views` are then views on it with the dimensions of `tensors`.
/// Errors: internal (VRG-STP-006), naming the input, what was expected and what came.
Result<void> read_tensors(std::span<const std::byte> content, std::span<const processing::TensorSpec> specs,
                          std::span<const std::byte> made, std::vector<StepTensor>& tensors,
                          std::vector<processing::TensorView>& views);

}  // namespace verge::data_processing
