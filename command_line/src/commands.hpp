// Commands: each adds its verb to the program; the verb's callback sets the exit status.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace verge::cli {

/// What a parsed verb will do; gives the exit status.
using Action = std::function<int()>;

void add_run_command(CLI::App& app, Action& action);
void add_package_commands(CLI::App& app, Action& action);
void add_engines_command(CLI::App& app, Action& action);
void add_delta_commands(CLI::App& app, Action& action);
void add_bench_command(CLI::App& app, Action& action);
/// After the hub's model commands, whose group it joins.
void add_explain_command(CLI::App& app, Action& action);
/// Last, since it knows all the others.
void add_completion_command(CLI::App& app, Action& action);

}  // namespace verge::cli
