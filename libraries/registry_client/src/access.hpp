// Access: what is shown to a registry so that it knows who asks, as its challenges want it.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "clients.hpp"
#include "verge/registry_client/challenge.hpp"

namespace verge::registry_client {

/// "repository:team/cat:pull,push", one or several.
using Scopes = std::vector<std::string>;

class Access {
 public:
  Access(const RegistryOptions& options, Clients& clients) : options_(options), clients_(clients) {}

  /// The header "Authorization" for these scopes; empty while nothing is to be shown. May fetch a token.
  Result<std::string> header(const Scopes& scopes);
  /// Learns from an answer of 401 to `url`, so that header() gives something else. False when there is nothing better
  /// to show. Errors: those of fetching a token; permission_denied (VRG-REG-011).
  Result<bool> learn(const Url& url, const http_client::Reply& refused, const Scopes& scopes);

 private:
  struct Token {
    std::string text;
    std::chrono::steady_clock::time_point until;
  };
  [[nodiscard]] std::string basic() const;
  Result<Token> fetch(const Scopes& scopes);

  const RegistryOptions& options_;
  Clients& clients_;
  std::string scheme_;  ///< That the registry wants; empty: not known yet.
  Url realm_;           ///< Where tokens come from.
  std::string service_;
  std::map<Scopes, Token> tokens_;
};

}  // namespace verge::registry_client
