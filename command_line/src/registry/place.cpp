#include "place.hpp"

#include <iostream>

#include <fmt/format.h>

#include "../hub/session.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/digest.hpp"
#include "verge/registry_client/layout.hpp"

namespace verge::cli {
namespace {

constexpr std::string_view kLayoutMark = "oci:";
constexpr std::size_t kPasswordLimitBytes = 64U << 10U;
constexpr std::uint64_t kPemLimitBytes = 1U << 20U;

Error contradiction(std::string_view why) {
  return Error(ErrorCode::invalid_argument, "VRG-CLI-070", std::string(why));
}

/// The first line of standard input.
Result<std::string> read_password() {
  std::string line;
  char c = 0;
  while (std::cin.get(c) && c != '\n') {
    line += c;
    if (line.size() > kPasswordLimitBytes) return contradiction("expected a password on standard input, got too much");
  }
  if (line.ends_with('\r')) line.pop_back();
  if (line.empty()) return contradiction("expected a password on standard input, got nothing; pipe it in");
  return line;
}

std::string text_of(const wire::Node& node, std::string_view key) {
  const auto* found = node.find(key);
  return found == nullptr ? std::string() : found->text;
}

/// As 'verge login' has it, when that is this registry.
void take_hub_login(const std::string& registry, registry_client::RegistryOptions& access) {
  const auto login = wire::read_document(HubSession::login_file());
  if (!login || text_of(*login, "url") != "https://" + registry) return;
  access.credentials.username = "verge";
  access.credentials.password = text_of(*login, "token");
  if (access.ca_certificate.empty()) access.ca_certificate = text_of(*login, "authority");
}

}  // namespace

void add_access_options(CLI::App& verb, AccessOptions& options, const std::string& prefix) {
  const auto name = [&](const char* option) { return "--" + prefix + option; };
  verb.add_option(name("username"), options.username, "Who asks the registry");
  verb.add_flag(name("password-stdin"), options.password_stdin, "Read the password or token from standard input");
  verb.add_option(name("credentials"), options.credentials_file,
                  "File as 'docker login' writes it; $DOCKER_CONFIG/config.json or ~/.docker/config.json when absent");
  verb.add_option(name("ca-file"), options.ca_file, "PEM: the authority of the registry's certificate")
      ->check(CLI::ExistingFile);
  verb.add_option(name("proxy"), options.proxy, "URL of a proxy, in place of the environment's");
  verb.add_flag(name("plain-http"), options.plain_http, "Without TLS; localhost may be so anyway");
}

Result<std::unique_ptr<registry_client::ArtifactStore>> open_registry(const registry_client::Reference& reference,
                                                                      const AccessOptions& options) {
  registry_client::RegistryOptions access;
  access.user_agent = "verge/" VERGE_VERSION;
  access.plain_http = options.plain_http;
  access.proxy = options.proxy;
  access.chunk_bytes = options.chunk_bytes;
  if (options.username.empty() != !options.password_stdin) {
    return contradiction("expected a user name together with its password on standard input, got one of them alone");
  }
  if (!options.ca_file.empty()) {
    VERGE_ASSIGN(access.ca_certificate, read_text(options.ca_file, kPemLimitBytes));
  }
  if (!options.username.empty()) {
    access.credentials.username = options.username;
    VERGE_ASSIGN(access.credentials.password, read_password());
  } else if (options.credentials_file.empty()) {
    take_hub_login(reference.registry, access);
  }
  if (access.credentials.empty()) {
    const auto file = options.credentials_file.empty() ? registry_client::credentials_file()
                                                       : std::filesystem::path(options.credentials_file);
    VERGE_ASSIGN(access.credentials, registry_client::read_credentials(file, reference.registry));
  }
  return registry_client::open_repository(reference, std::move(access));
}

Result<Place> open_place(const std::string& text, const AccessOptions& options) {
  Place place;
  if (!text.starts_with(kLayoutMark)) {
    VERGE_ASSIGN(const auto reference, registry_client::parse_reference(text));
    place.wanted = reference.digest.empty() ? reference.tag : reference.digest;
    place.digest = reference.digest;
    VERGE_ASSIGN(place.store, open_registry(reference, options));
    return place;
  }
  auto folder = text.substr(kLayoutMark.size());
  if (const auto at = folder.rfind('@'); at != std::string::npos && crypto::is_digest(folder.substr(at + 1))) {
    place.digest = folder.substr(at + 1);
    place.wanted = place.digest;
    folder.resize(at);
  }
  if (const auto colon = folder.rfind(':');
      colon != std::string::npos && folder.find('/', colon) == std::string::npos) {
    if (place.digest.empty()) place.wanted = folder.substr(colon + 1);
    folder.resize(colon);
  }
  place.layout = folder;
  VERGE_ASSIGN(place.store, registry_client::open_layout(folder));
  return place;
}

}  // namespace verge::cli
