#include "access.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "verge/base/base64.hpp"
#include "verge/base/text.hpp"
#include "verge/wire/document.hpp"

namespace verge::registry_client {
namespace {

using namespace std::chrono_literals;
using http_client::Reply;

constexpr std::uint64_t kAnswerLimitBytes = 1U << 20U;
constexpr std::size_t kTokenLimitBytes = 64U << 10U;
constexpr long long kUsualLife_s = 60;  // By the specification of tokens.
constexpr long long kLongestLife_s = 3600;
constexpr auto kMargin = 5s;

std::string text_of(const wire::Node& node, std::string_view key) {
  const auto* found = node.find(key);
  return found != nullptr && found->kind == wire::Node::Kind::quoted ? found->text : std::string();
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= kTokenLimitBytes &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

/// "repository:a:pull repository:b:pull" beside what we want ourselves.
Scopes with(Scopes scopes, std::string_view more) {
  while (!more.empty()) {
    const auto end = std::min(more.find(' '), more.size());
    const auto scope = more.substr(0, end);
    if (!scope.empty() && scopes.size() < 16 && std::ranges::find(scopes, scope) == scopes.end()) {
      scopes.emplace_back(scope);
    }
    more.remove_prefix(std::min(end + 1, more.size()));
  }
  return scopes;
}

std::vector<Challenge> challenges_of(const Reply& reply) {
  std::vector<Challenge> all;
  for (const auto& [name, value] : reply.headers) {
    if (name != "www-authenticate" || all.size() > 16) continue;
    for (auto& challenge : parse_challenges(value)) all.push_back(std::move(challenge));
  }
  return all;
}

}  // namespace

std::string Access::basic() const {
  const auto& who = options_.credentials;
  return "Basic " + encode_base64(who.username + ":" + who.password);
}

Result<std::string> Access::header(const Scopes& scopes) {
  if (scheme_ == "basic") return basic();
  if (scheme_ != "bearer") return std::string();
  auto& token = tokens_[scopes];
  if (std::chrono::steady_clock::now() >= token.until) {
    VERGE_ASSIGN(token, fetch(scopes));
  }
  return "Bearer " + token.text;
}

Result<bool> Access::learn(const Url& url, const Reply& refused, const Scopes& scopes) {
  const auto challenges = challenges_of(refused);
  const auto bearer = std::ranges::find(challenges, "bearer", &Challenge::scheme);
  if (bearer != challenges.end() && bearer->parameters.contains("realm")) {
    VERGE_ASSIGN(realm_, follow(url, bearer->parameters.at("realm")));
    scheme_ = "bearer";
    const auto service = bearer->parameters.find("service");
    service_ = service == bearer->parameters.end() ? std::string() : service->second;
    const auto scope = bearer->parameters.find("scope");
    const auto wanted = scope == bearer->parameters.end() ? scopes : with(scopes, scope->second);
    VERGE_ASSIGN(tokens_[scopes], fetch(wanted));
    return true;
  }
  const bool wants_basic = std::ranges::find(challenges, "basic", &Challenge::scheme) != challenges.end();
  if (!wants_basic || options_.credentials.password.empty() || scheme_ == "basic") return false;
  scheme_ = "basic";
  return true;
}

Result<Access::Token> Access::fetch(const Scopes& scopes) {
  const auto& who = options_.credentials;
  std::string query = "service=" + encode_percent(service_);
  for (const auto& scope : scopes) query += "&scope=" + encode_percent(scope);
  http_client::Call call;
  call.limit_bytes = kAnswerLimitBytes;
  call.path = realm_.path;
  if (!who.identity_token.empty()) {
    call.method = "POST";
    call.content_type = "application/x-www-form-urlencoded";
    call.body = query + "&grant_type=refresh_token&client_id=verge&refresh_token=" + encode_percent(who.identity_token);
  } else {
    call.path += (call.path.find('?') == std::string::npos ? "?" : "&") + query;
    if (!who.password.empty()) {
      call.path += "&account=" + encode_percent(who.username);
      call.headers.emplace_back("Authorization", basic());
    }
  }
  VERGE_ASSIGN(auto* client, clients_.at(realm_.origin));
  VERGE_ASSIGN(const Reply reply, client->send(call, options_.stop));
  if (reply.status == 401 || reply.status == 403) {
    return Error(ErrorCode::unauthenticated, "VRG-REG-003",
                 fmt::format("'{}' gives no token {}: {}; check the user name and the password, or log in again",
                             realm_.origin, who.empty() ? "without credentials" : "to '" + who.username + "'",
                             http_client::error_of(reply).message()));
  }
  if (reply.status != 200) return in("fetching a token from '" + realm_.origin + "'", Result<void>(error_of(reply)));
  const auto not_a_token = [&](std::string_view got) {
    return Error(ErrorCode::data_loss, "VRG-REG-010",
                 fmt::format("expected a token from '{}', got {}", realm_.origin, got));
  };
  const auto node = wire::parse_json(reply.body, "token");
  if (!node) return not_a_token("an answer that is no JSON");
  Token token;
  token.text = text_of(*node, "token");
  if (token.text.empty()) token.text = text_of(*node, "access_token");
  if (!is_token(token.text)) return not_a_token("an answer with none");
  long long life_s = kUsualLife_s;
  if (const auto* given = node->find("expires_in"); given != nullptr) {
    const auto* end = given->text.data() + given->text.size();
    if (std::from_chars(given->text.data(), end, life_s).ec != std::errc{}) life_s = kUsualLife_s;
  }
  const std::chrono::seconds life(std::clamp(life_s, 0LL, kLongestLife_s));
  token.until = std::chrono::steady_clock::now() + life - std::min<std::chrono::seconds>(life / 2, kMargin);
  return token;
}

}  // namespace verge::registry_client
