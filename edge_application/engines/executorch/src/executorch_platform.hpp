// What ExecuTorch asks of its platform: where complaints go, and what happens when it gives up.
#pragma once

#include <string>

#include <executorch/runtime/core/error.h>

#include "verge/engines/plugin.hpp"

namespace verge::engines::executorch {

/// Once per process, before anything else of ExecuTorch: its complaints are kept for the error and not printed, and
/// where it would abort() the process it throws Failure(CORRUPT), as it does so for programs that contradict
/// themselves.
void prepare_platform();

/// What it complained of first in this thread since forget_complaints(), else empty.
std::string complaint();
void forget_complaints() noexcept;

/// Which of the two a failure means.
enum class Stage { load, run };

/// Throws Failure with the operation, ExecuTorch's error and its complaint unless `error` is Ok. While a program is
/// loaded, what is not a lack of a backend or an operator is a fault of the file: CORRUPT.
void check(::executorch::runtime::Error error, const char* operation, Stage stage);

}  // namespace verge::engines::executorch
