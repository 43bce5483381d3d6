// verge package init: a package for a bare model file.
#pragma once

#include "commands.hpp"

namespace verge::cli {

/// Adds the command to `verge package`.
void add_package_init(CLI::App& group, Action& action);

}  // namespace verge::cli
