// Challenge: how a server wants to be shown who asks (WWW-Authenticate, RFC 9110).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace verge::registry_client {

struct Challenge {
  std::string scheme;                             ///< In lower case: "basic", "bearer".
  std::map<std::string, std::string> parameters;  ///< Names in lower case; at most 32.
};

/// Reads as far as the text makes sense, at most 8 challenges of the first 8 KiB; what is malformed ends it.
[[nodiscard]] std::vector<Challenge> parse_challenges(std::string_view text);

}  // namespace verge::registry_client
