#include "verge/registry_client/credentials.hpp"

#include <cstdlib>

#include <fmt/format.h>

#include "verge/base/base64.hpp"
#include "verge/base/file.hpp"
#include "verge/wire/document.hpp"

namespace verge::registry_client {
namespace {

constexpr std::uint64_t kFileLimitBytes = std::uint64_t{1} << 20U;

std::string text_of(const wire::Node& node, std::string_view key) {
  const auto* found = node.find(key);
  return found != nullptr && found->kind == wire::Node::Kind::quoted ? found->text : std::string();
}

/// "https://ghcr.io/v2/" as "ghcr.io": older programs wrote whole URLs.
std::string_view host_of(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  return key.substr(0, key.find('/'));
}

bool is_of(std::string_view key, std::string_view registry) {
  const auto host = host_of(key);
  if (host == registry) return true;
  const bool docker = registry == "docker.io" || registry == "registry-1.docker.io";
  return docker && (host == "index.docker.io" || host == "docker.io");
}

}  // namespace

std::filesystem::path credentials_file() {
  if (const char* folder = std::getenv("DOCKER_CONFIG"); folder != nullptr && *folder != '\0') {
    return std::filesystem::path(folder) / "config.json";
  }
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "" : home) / ".docker" / "config.json";
}

Result<Credentials> parse_credentials(std::string_view text, std::string_view registry, std::string_view origin) {
  VERGE_ASSIGN(const auto node, wire::parse_json(text, origin));
  Credentials credentials;
  credentials.helper = text_of(node, "credsStore");
  if (const auto* helpers = node.find("credHelpers"); helpers != nullptr) {
    for (const auto& [key, helper] : helpers->members) {
      if (is_of(key, registry)) credentials.helper = helper.text;
    }
  }
  const auto* entries = node.find("auths");
  if (entries == nullptr) return credentials;
  for (const auto& [key, entry] : entries->members) {
    if (!is_of(key, registry)) continue;
    credentials.username = text_of(entry, "username");
    credentials.password = text_of(entry, "password");
    credentials.identity_token = text_of(entry, "identitytoken");
    if (const auto both = text_of(entry, "auth"); !both.empty()) {
      const auto plain = decode_base64(both);
      const auto colon = plain ? plain->find(':') : std::string::npos;
      if (colon == std::string::npos) {
        return Error(ErrorCode::invalid_argument, "VRG-REG-002",
                     fmt::format("expected 'auth' of '{}' in '{}' to be \"user:password\" in base64, got something "
                                 "else; log in again",
                                 key, origin));
      }
      credentials.username = plain->substr(0, colon);
      credentials.password = plain->substr(colon + 1);
    }
    if (!credentials.empty()) return credentials;
  }
  return credentials;
}

Result<Credentials> read_credentials(const std::filesystem::path& file, std::string_view registry) {
  const auto text = read_text(file, kFileLimitBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return Credentials{};
  if (!text) return Error(text.error());
  return parse_credentials(*text, registry, file.string());
}

}  // namespace verge::registry_client
