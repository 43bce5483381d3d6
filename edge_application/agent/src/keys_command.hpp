// Keys command: what a person does with the keys of a device, while its agent is stopped.
#pragma once

#include <string>
#include <vector>

#include "verge/wire/edge_config.hpp"

namespace verge::agent {

struct KeysOrder {
  std::string what;                   ///< "status", "rotate", "suspend", "reseal" or "reset".
  std::vector<std::string> expected;  ///< Of reseal: "7=<64 hexadecimal digits>".
};

/// Prints what was done; gives the exit status.
int run_keys_command(const wire::EdgeConfig& configuration, const KeysOrder& order);

}  // namespace verge::agent
