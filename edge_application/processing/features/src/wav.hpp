// WAV: the sound in a RIFF/WAVE file.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::processing {

/// Reads PCM of 8, 16, 24 or 32 bits and float32, 1 to 8 channels averaged to one, as values from -1 to 1 into
/// `samples` (resized). Gives the sample rate. Errors: invalid_argument (VRG-FEA-010), data_loss (VRG-FEA-013),
/// resource_exhausted (VRG-FEA-014).
Result<unsigned> read_wav(std::span<const std::byte> content, std::vector<float>& samples);

}  // namespace verge::processing
