// Statuses of the engine ABI as errors of Verge.
#pragma once

#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/engines/abi.h"

namespace verge::processing {

/// The error of a call that failed; `context` says what was tried, "engine 'litert', model /a/b.tflite".
Error engine_error(verge_engine_status status, std::string_view context, std::string_view message);

}  // namespace verge::processing
