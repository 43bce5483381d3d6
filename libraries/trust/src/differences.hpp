// Differences: what a signer is asked to sign, against what is in force.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "metadata.hpp"

namespace verge::trust {

/// By key id.
using KeyNames = std::map<std::string, std::string>;

/// "alice", or the beginning of the id.
std::string shown_key(const KeyNames& names, std::string_view id);

std::vector<std::string> differences(const Root& before, const Root& after, const KeyNames& names);
/// `before` null: the role is new.
std::vector<std::string> differences(const Targets* before, const Targets& after, const KeyNames& names);

}  // namespace verge::trust
