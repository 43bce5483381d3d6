// The video part, loaded when it is first needed: its libraries are many.
#pragma once

#include "verge/base/error.hpp"
#include "verge/pipeline/video_part.h"

namespace verge::pipeline {

/// Stays loaded. Errors: unavailable (VRG-SRC-002 it is not installed), failed_precondition (VRG-SRC-002 it is another
/// version's).
Result<const verge_video_part*> load_video_part();

}  // namespace verge::pipeline
