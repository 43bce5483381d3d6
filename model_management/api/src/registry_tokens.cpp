#include "registry_tokens.hpp"

#include <algorithm>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "handlers.hpp"
#include "registry_place.hpp"
#include "verge/crypto/random.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/wire/registry_token.hpp"

namespace verge::hub {
namespace {

constexpr std::int64_t kLife_s = 300;
constexpr std::size_t kTokenLimit = 10'000;
constexpr std::size_t kScopeLimit = 64;
constexpr std::string_view kRoot = "/v2/";
constexpr std::string_view kTokenPath = "/v2/token";
constexpr std::string_view kScopeError = "VRG-OCI-030";

std::string decoded_place(const http::Request& request) {
  std::string path;
  if (!request.path.starts_with(kRoot) || !http::decode_percent(request.path.substr(kRoot.size()), path)) return {};
  return path;
}

/// Where a blob is to be taken from: a repository; "" for whichever has it. Nothing when none is to be.
std::optional<std::string> mounted_from(const http::Request& request) {
  const auto query = parse_query(request.query);
  if (request.method != "POST" || !query.contains("mount")) return std::nullopt;
  const auto from = query.find("from");
  if (from == query.end() || from->second.empty()) return std::string();
  // It becomes part of a header; what is no repository has no blobs.
  if (!parse_registry_place(from->second + "/tags/list")) return std::nullopt;
  return from->second;
}

bool allows(const RegistryGrant& grant, const std::string& repository, const std::string& action) {
  const auto found = grant.repositories.find(repository);
  return found != grant.repositories.end() && found->second.contains(action);
}

/// "repository:models/cat:pull,push" into what the caller may of it.
void add_scope(std::string_view scope, const Principal& caller, RegistryGrant& grant) {
  const auto first = scope.find(':');
  const auto last = scope.rfind(':');
  if (first == std::string_view::npos || last == first) return;
  const auto kind = scope.substr(0, first);
  const std::string name(scope.substr(first + 1, last - first - 1));
  auto actions = scope.substr(last + 1);
  const bool reads = caller.rights.contains(wire::Right::read);
  const bool publishes = caller.rights.contains(wire::Right::publish);
  if (kind == "registry" && name == "catalog") grant.lists = reads;
  if (kind != "repository" || grant.repositories.size() >= kScopeLimit) return;
  while (!actions.empty()) {
    const auto end = std::min(actions.find(','), actions.size());
    const auto action = actions.substr(0, end);
    const bool all = action == "*";
    if ((all || action == "pull") && reads) grant.repositories[name].insert("pull");
    // Deleting needs the right to publish, and no other.
    if ((all || action == "push" || action == "delete") && publishes) grant.repositories[name].insert("push");
    actions.remove_prefix(std::min(end + 1, actions.size()));
  }
}

}  // namespace

http::Response RegistryTokens::answer(const http::Request& request, const Principal& caller,
                                      const std::string& hub_token, std::int64_t now_ms) {
  if (caller.name.empty() || hub_token.empty()) {
    return registry_error(Error(ErrorCode::unauthenticated, "VRG-OCI-031",
                                "expected a token of this hub as the password of Basic, got none that it knows; an "
                                "administrator makes one: verge token create"));
  }
  RegistryGrant grant;
  grant.hub_token = hub_token;
  for (const auto& values : query_values(request.query, "scope")) {
    std::string_view rest = values;
    while (!rest.empty()) {
      const auto end = std::min(rest.find(' '), rest.size());
      add_scope(rest.substr(0, end), caller, grant);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  wire::RegistryToken given;
  given.token = keep(std::move(grant), now_ms);
  given.access_token = given.token;
  given.expires_in = kLife_s;
  given.issued_at = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(now_ms / 1000)));
  auto response = document(200, wire::to_node(given));
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

std::string RegistryTokens::keep(RegistryGrant grant, std::int64_t now_ms) {
  auto token = crypto::random_hex(32);
  grant.until_ms = now_ms + kLife_s * 1000;
  const std::lock_guard lock(mutex_);
  std::erase_if(grants_, [&](const auto& one) { return one.second.until_ms <= now_ms; });
  if (grants_.size() >= kTokenLimit) {
    // Whoever loses its token fetches another.
    grants_.erase(std::ranges::min_element(grants_, {}, [](const auto& one) { return one.second.until_ms; }));
  }
  grants_.emplace(crypto::sha256(token), std::move(grant));
  return token;
}

std::optional<RegistryGrant> RegistryTokens::find(const std::string& token, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  const auto found = grants_.find(crypto::sha256(token));
  if (found == grants_.end() || found->second.until_ms <= now_ms) return std::nullopt;
  return found->second;
}

std::string scope_of(const http::Request& request) {
  const auto path = decoded_place(request);
  if (path == "_catalog") return "registry:catalog:*";
  const auto place = parse_registry_place(path);
  if (!place) return {};
  const bool reads = request.method == "GET" || request.method == "HEAD";
  auto scope = fmt::format("repository:{}:{}", place->repository, reads ? "pull" : "pull,push");
  if (const auto from = mounted_from(request)) {
    scope += from->empty() ? " registry:catalog:*" : fmt::format(" repository:{}:pull", *from);
  }
  return scope;
}

Result<void> check_scope(const RegistryGrant& grant, const http::Request& request) {
  const auto path = decoded_place(request);
  const auto refused = [&] {
    return Error(ErrorCode::unauthenticated, kScopeError,
                 fmt::format("expected a registry token for '{}', got one for something else; fetch another",
                             scope_of(request)));
  };
  if (path == "_catalog") return grant.lists ? Result<void>() : refused();
  const auto place = parse_registry_place(path);
  if (!place) return {};  // Whatever it is, it is refused by those who know it.
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!allows(grant, place->repository, reads ? "pull" : "push")) return refused();
  const auto from = mounted_from(request);
  if (from && !(from->empty() ? grant.lists : allows(grant, *from, "pull"))) return refused();
  return {};
}

void add_challenge(http::Response& response, const http::Request& request, const Error& error) {
  const auto url = reached_url(request);
  if (response.status != 401 || !url || request.path == kTokenPath) return;
  auto challenge = fmt::format("Bearer realm=\"{}{}\",service=\"verge\"", *url, kTokenPath);
  if (const auto scope = scope_of(request); !scope.empty()) challenge += fmt::format(",scope=\"{}\"", scope);
  if (error.id() == kScopeError) challenge += ",error=\"insufficient_scope\"";
  // Many clients look at the first one only.
  response.headers.insert(response.headers.begin(), {"WWW-Authenticate", std::move(challenge)});
}

}  // namespace verge::hub
