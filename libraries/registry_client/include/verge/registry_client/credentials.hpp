// Credentials: who asks a registry, as 'docker login', 'podman login' or 'oras login' have kept it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"

namespace verge::registry_client {

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  ///< In place of a password, for registries that gave one at the login.
  /// The program that keeps them, which is not run: they are empty then.
  std::string helper;
  [[nodiscard]] bool empty() const noexcept { return password.empty() && identity_token.empty(); }
};

/// $DOCKER_CONFIG/config.json, else ~/.docker/config.json.
[[nodiscard]] std::filesystem::path credentials_file();

/// The file's credentials for a registry ("ghcr.io"); empty ones when it has none, or is not there. Errors:
/// invalid_argument (VRG-REG-002 not such a file), as read_file().
Result<Credentials> read_credentials(const std::filesystem::path& file, std::string_view registry);
/// The same of a file's text; `origin` names it in messages.
Result<Credentials> parse_credentials(std::string_view text, std::string_view registry, std::string_view origin);

}  // namespace verge::registry_client
