// ExecutorchFile: what ExecuTorch and XNNPACK believe of a .pte file, checked with every bound.
//
// ExecuTorch verifies its own part of the file. Of XNNPACK's graph in it only the structure is verified: that weights
// are as large as their shapes say, that a convolution's numbers fit its weights, and that the graph's tensors are the
// program's, is believed, and a file in which it is not so ends the process.
#pragma once

#include <cstddef>
#include <span>

#include "verge/engines/plugin.hpp"

namespace verge::engines {

/// Throws Failure(CORRUPT) for a file that is no ExecuTorch program, or whose parts contradict each other.
void check_executorch(std::span<const std::byte> file);

}  // namespace verge::engines
