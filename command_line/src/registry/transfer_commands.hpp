// Transfer commands: packages to and from any registry.
#pragma once

#include "../commands.hpp"

namespace verge::cli {

/// Joins the group 'package'.
void add_transfer_commands(CLI::App& group, Action& action);

}  // namespace verge::cli
