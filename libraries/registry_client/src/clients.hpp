// Clients: one HTTP client for each server that a registry leads to, all by the same rules.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/http_client/client.hpp"
#include "verge/registry_client/registry.hpp"

namespace verge::registry_client {

/// "https://ghcr.io:8443" and "/v2/?a=b".
struct Url {
  std::string origin;  ///< In lower case, without a port that goes without saying.
  std::string path;
  [[nodiscard]] bool encrypted() const { return origin.starts_with("https://"); }
};
/// Errors: data_loss (VRG-REG-010).
Result<Url> parse_url(std::string_view text);
/// Where a Location leads that came from `from`: a whole URL, or a path there. Errors: data_loss (VRG-REG-010),
/// permission_denied (VRG-REG-011 from TLS to none).
Result<Url> follow(const Url& from, std::string_view location);

class Clients {
 public:
  explicit Clients(const RegistryOptions& options) : options_(options) {}
  /// Errors: invalid_argument (VRG-HTC-008), permission_denied (VRG-REG-011 too many servers).
  Result<http_client::Client*> at(const std::string& origin);

 private:
  const RegistryOptions& options_;
  std::map<std::string, std::unique_ptr<http_client::Client>> clients_;
};

}  // namespace verge::registry_client
