// Waveform: a sound brought to the sample rate, the length and the level that a model wants.
#pragma once

#include <vector>

#include "verge/wire/preprocessing.hpp"

namespace verge::processing {

/// `samples` of `sample_rate` as the step asks; `scratch` keeps its memory between sounds. The resampler is a sinc with
/// a Hann window, of 16 zero crossings on each side.
void shape_waveform(const wire::AudioStep& step, unsigned sample_rate, std::vector<float>& samples,
                    std::vector<float>& scratch);

}  // namespace verge::processing
