// Registry tokens: short-lived ones for parts of the registry, in exchange for a hub's token (the token authentication
// of the OCI distribution specification).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "answers.hpp"

namespace verge::hub {

/// What a token is good for.
struct RegistryGrant {
  std::string hub_token;                                      ///< For which it was given: it ends with that one.
  std::map<std::string, std::set<std::string>> repositories;  ///< "pull" and "push", by repository.
  bool lists = false;                                         ///< Whether it may list all repositories.
  std::int64_t until_ms = 0;
};

/// Thread-safe. They are kept in memory only: after a restart clients fetch others.
class RegistryTokens {
 public:
  /// Answers a request for one. `caller` is whom its own authorization names.
  http::Response answer(const http::Request& request, const Principal& caller, const std::string& hub_token,
                        std::int64_t now_ms);
  /// Nothing when it is none of ours, or has expired.
  std::optional<RegistryGrant> find(const std::string& token, std::int64_t now_ms);

 private:
  std::string keep(RegistryGrant grant, std::int64_t now_ms);

  std::mutex mutex_;
  std::map<std::string, RegistryGrant> grants_;  ///< By the token's digest.
};

/// "repository:models/cat:pull": what a request needs; empty when a token that is good for nothing will do.
[[nodiscard]] std::string scope_of(const http::Request& request);
/// Whether the grant allows it. Errors: unauthenticated (VRG-OCI-030).
Result<void> check_scope(const RegistryGrant& grant, const http::Request& request);
/// Says in an answer of 401 where tokens come from; Basic goes on working.
void add_challenge(http::Response& response, const http::Request& request, const Error& error);

}  // namespace verge::hub
