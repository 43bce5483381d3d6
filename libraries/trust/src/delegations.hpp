// Delegations: which roles may speak for a target path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "metadata.hpp"

namespace verge::trust {

/// A role that is trusted with a path.
struct Delegate {
  std::string name;
  Role role;
  bool terminating = false;
};

/// In the order of trust.
std::vector<Delegate> delegates_for(const Delegations& delegations, std::string_view path);
/// Shell-style: '*', '?', '[a-z]' and '[!a-z]', none of which matches a '/'.
bool path_matches(std::string_view path, std::string_view pattern);

}  // namespace verge::trust
