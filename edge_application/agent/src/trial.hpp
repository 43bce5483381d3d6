// Trial: a candidate tried out in a process of its own, at a low priority, so that one that crashes, hangs or eats
// memory takes nothing down, and traffic goes on.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "model_order.hpp"
#include "verge/base/error.hpp"
#include "verge/update/ports.hpp"
#include "verge/wire/reported_state.hpp"

namespace verge::agent {

struct TrialOrder {
  ModelOrder model;
  ServingOptions options;
  std::filesystem::path program = "/proc/self/exe";  ///< The agent to try it with.
};

/// Runs this program again, or another release of it, with `--try-out`; waits for its answer, at most `timeout_s` of
/// its processor time and as long again. Errors: the candidate's; failed_precondition (VRG-UPD-016) when the process
/// ended by a signal or took too long. cancelled (VRG-AGT-008) once `stop` is requested: the process is ended.
Result<update::ModelTrial> try_out_apart(const TrialOrder& order, int timeout_s, const std::stop_token& stop);

/// Has another release of this program check a configuration; what it says against it, empty when it takes it. Errors:
/// as try_out_apart().
Result<std::string> check_configuration_apart(const std::filesystem::path& program,
                                              const std::filesystem::path& configuration, int timeout_s,
                                              const std::stop_token& stop);

/// The engines that load here, asked in a process of its own: loading one only for its version would cost its memory.
Result<std::vector<wire::EngineReport>> engines_apart();

/// What that process does: `entry` is the model entry as JSON. Prints one JSON object; gives the exit status.
int run_trial(std::string_view entry, const std::string& digest, const ServingOptions& options);
int run_describe_engines();

}  // namespace verge::agent
