#include "verge/hub/api.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "handlers.hpp"
#include "registry_place.hpp"
#include "registry_tokens.hpp"
#include "verge/base/base64.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/hub/registry.hpp"

namespace verge::hub {
namespace {

/// The parts of `path` that `pattern` names; nothing when it is another path.
std::optional<std::map<std::string, std::string>> match(std::string_view pattern, std::string_view path) {
  std::map<std::string, std::string> parts;
  while (!pattern.empty()) {
    const auto brace = std::min(pattern.find('{'), pattern.size());
    if (path.substr(0, brace) != pattern.substr(0, brace)) return std::nullopt;
    pattern.remove_prefix(brace);
    path.remove_prefix(brace);
    if (pattern.empty()) break;
    const auto close = pattern.find('}');
    auto name = pattern.substr(1, close - 1);
    pattern.remove_prefix(close + 1);
    const bool rest = name.ends_with('+');
    if (rest) name.remove_suffix(1);
    const auto end = rest ? path.size() : std::min(path.find('/'), path.size());
    std::string value;
    if ((end == 0 && !rest) || !http::decode_percent(path.substr(0, end), value)) return std::nullopt;
    parts.emplace(name, std::move(value));
    path.remove_prefix(end);
  }
  if (!path.empty()) return std::nullopt;
  return parts;
}

/// The token of "Bearer T" or "Basic any:T"; "" when there is none.
std::string token_of(std::string_view header) {
  if (header.starts_with("Bearer ")) return std::string(header.substr(7));
  if (!header.starts_with("Basic ")) return {};
  const auto plain = decode_base64(header.substr(6));
  if (!plain || plain->find(':') == std::string::npos) return {};
  return plain->substr(plain->find(':') + 1);
}

Result<void> check_route(const Route& route, const Principal& caller) {
  switch (route.right) {
    case RouteRight::public_: return {};
    case RouteRight::token:
      if (!caller.name.empty()) return {};
      return check_right(caller, wire::Right::read);
    case RouteRight::device: {
      const auto device = check_device(caller);
      if (!device) return Error(device.error());
      return {};
    }
    case RouteRight::read: return check_right(caller, wire::Right::read);
    case RouteRight::publish: return check_right(caller, wire::Right::publish);
    case RouteRight::deploy: return check_right(caller, wire::Right::deploy);
    case RouteRight::administer: return check_right(caller, wire::Right::administer);
  }
  return {};
}

http::Response no_route(const http::Request& request, const std::string& allowed) {
  if (allowed.empty()) {
    return error_answer(Error(ErrorCode::not_found, "VRG-HUB-044",
                              "this hub has no '" + std::string(request.path) + "'; /openapi.json lists what it has"));
  }
  auto response = error_answer(
      Error(ErrorCode::unimplemented, "VRG-HUB-045",
            "'" + std::string(request.path) + "' takes " + allowed + ", not " + std::string(request.method)));
  response.status = 405;
  response.headers.emplace_back("Allow", allowed);
  return response;
}

bool is_registry(std::string_view path) {
  return path == "/v2" || path.starts_with("/v2/");
}

}  // namespace

/// Who asks, and for what part of the registry alone, if so.
struct Api::Caller {
  Principal principal{};
  std::string hub_token{};
  std::optional<RegistryGrant> grant{};
};

Api::Api(Hub& hub, Log& log, std::filesystem::path upload_folder)
    : hub_(hub), log_(log), upload_folder_(std::move(upload_folder)), tokens_(std::make_unique<RegistryTokens>()) {}

Api::~Api() = default;

Result<Api::Caller> Api::who(const http::Request& request) {
  Caller caller;
  auto& principal = caller.principal;
  if (auto token = token_of(request.header("authorization")); !token.empty()) {
    caller.grant = tokens_->find(token, hub_.now_ms());
    caller.hub_token = caller.grant ? caller.grant->hub_token : std::move(token);
    // What is for the registry alone says nothing elsewhere.
    if (!caller.grant || is_registry(request.path)) {
      VERGE_ASSIGN(principal, hub_.authenticate(caller.hub_token));
    }
  }
  principal.address = request.remote_address;
  if (!request.client_certificate.empty()) {
    VERGE_ASSIGN(const auto info, crypto::read_certificate(request.client_certificate));
    principal.device = info.common_name;
    principal.key_fingerprint = info.key_fingerprint;
  }
  return caller;
}

http::Response Api::handle(const http::Request& request) {
  const bool registry = is_registry(request.path);
  const auto refuse = [&](const Error& error) {
    if (error.code() == ErrorCode::internal || error.code() == ErrorCode::unavailable) {
      log_.error("request failed", {{"path", request.path}, {"error", error.text()}});
    }
    if (!registry) return error_answer(error);
    auto response = registry_error(error);
    add_challenge(response, request, error);
    return response;
  };
  auto caller = who(request);
  if (!caller) return refuse(caller.error());
  const auto path = request.path == "/v2" ? std::string_view("/v2/") : request.path;
  // A HEAD that no route names is the GET without its body.
  const auto named = [&](std::string_view method) {
    return std::ranges::any_of(kRoutes, [&](const Route& r) { return r.method == method && match(r.path, path); });
  };
  const auto method = request.method == "HEAD" && !named("HEAD") ? std::string_view("GET") : request.method;
  std::string allowed;
  for (const auto& route : kRoutes) {
    auto parts = match(route.path, path);
    if (!parts) continue;
    if (route.method != method) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
      continue;
    }
    if (const auto may = check_route(route, caller->principal); !may) return refuse(may.error());
    if (const auto may = caller->grant ? check_scope(*caller->grant, request) : Result<void>(); !may) {
      return refuse(may.error());
    }
    if (route.name == RouteName::oci_token) {
      const bool whole = !caller->grant;  // A part gives no other part.
      return tokens_->answer(request, caller->principal, whole ? caller->hub_token : "", hub_.now_ms());
    }
    const Call call{request, std::move(caller->principal), std::move(*parts), parse_query(request.query), route.status};
    return handle_document(hub_, route.name, call);
  }
  return no_route(request, allowed);
}

std::filesystem::path Api::body_folder(const http::Request& head) {
  if (!is_registry(head.path) || head.path.find("/blobs/uploads/") == std::string_view::npos) return {};
  const std::string header(head.header("authorization"));
  const auto key = crypto::sha256(header);
  {
    const std::lock_guard lock(mutex_);
    if (publishers_.contains(key)) return upload_folder_;
  }
  const auto caller = who(head);
  if (!caller || !caller->principal.rights.contains(wire::Right::publish)) return {};
  if (caller->grant) return check_scope(*caller->grant, head) ? upload_folder_ : std::filesystem::path();
  const std::lock_guard lock(mutex_);
  if (publishers_.size() > 1000) publishers_.clear();
  publishers_.insert(key);
  return upload_folder_;
}

std::uint64_t Api::file_limit(const http::Request& head) {
  return hub_.registry().room_bytes(pushed_repository(head));
}

http::Response Api::too_large(const http::Request& head, std::uint64_t limit_bytes) {
  const auto repository = pushed_repository(head);
  if (!repository.empty() && !body_folder(head).empty()) {
    const auto fits = hub_.registry().check_room(repository, limit_bytes + 1);
    if (!fits) return registry_error(fits.error());
  }
  const Error error(ErrorCode::resource_exhausted, "VRG-OCI-017",
                    fmt::format("expected a body of at most {} bytes, got a larger one; send content of blobs in "
                                "pieces",
                                limit_bytes));
  return is_registry(head.path) ? registry_error(error) : error_answer(error);
}

}  // namespace verge::hub
