#include "session.hpp"

#include <fmt/format.h>

#include "verge/base/rest.hpp"

namespace verge::registry_client {
namespace {

using http_client::Call;
using http_client::Reply;

constexpr int kRedirectLimit = 5;

bool redirects(const Reply& reply) {
  return (reply.status >= 301 && reply.status <= 303) || reply.status == 307 || reply.status == 308;
}

bool is_passing(const Error& error) {
  return error.code() == ErrorCode::unavailable || error.code() == ErrorCode::deadline_exceeded;
}

bool is_overload(int status) {
  return status == 429 || (status >= 502 && status <= 504);
}

}  // namespace

bool Patience::again(const Error& error) {
  if (!is_passing(error) || ++failures_ >= options_.attempts) return false;
  rest(options_.first_pause * (1 << (failures_ - 1)), options_.stop);
  return !options_.stop.stop_requested();
}

Session::Session(Reference reference, std::string origin, RegistryOptions options)
    : reference_(std::move(reference)), origin_(std::move(origin)), options_(std::move(options)) {}

std::string Session::path(std::string_view rest) const {
  return fmt::format("/v2/{}/{}", reference_.repository, rest);
}

Result<Reply> Session::exchange(const Order& order, const Work& work) {
  Scopes scopes{fmt::format("repository:{}:{}", reference_.repository, order.push ? "pull,push" : "pull")};
  if (!order.also_from.empty()) scopes.push_back(fmt::format("repository:{}:pull", order.also_from));
  VERGE_ASSIGN(Url url, parse_url(order.url.empty() ? origin_ + order.call.path : order.url));
  bool renewed = false;
  for (int hops = 0; hops <= kRedirectLimit;) {
    Call call = order.call;
    call.path = url.path;
    const bool own = url.origin == origin_;
    if (own) {
      VERGE_ASSIGN(auto shown, access_.header(scopes));
      if (!shown.empty()) call.headers.emplace_back("Authorization", std::move(shown));
    }
    VERGE_ASSIGN(auto* client, clients_.at(url.origin));
    VERGE_ASSIGN(Reply reply, work(*client, call));
    if (reply.status == 401 && own && !renewed) {
      renewed = true;
      VERGE_ASSIGN(const bool better, access_.learn(url, reply, scopes));
      if (better) continue;
    }
    if (!redirects(reply) || (call.method != "GET" && call.method != "HEAD")) return reply;
    VERGE_ASSIGN(url, follow(url, reply.header("location")));
    ++hops;
  }
  return Error(ErrorCode::permission_denied, "VRG-REG-011",
               fmt::format("expected '{}' to answer after at most {} redirects, got another one to '{}'", origin_,
                           kRedirectLimit, url.origin));
}

Result<Reply> Session::send(const Order& order) {
  return exchange(order,
                  [&](http_client::Client& client, const Call& call) { return client.send(call, options_.stop); });
}

Result<Reply> Session::ask(const Order& order) {
  Patience patience(options_);
  for (;;) {
    auto reply = send(order);
    if (reply && !is_overload(reply->status)) return reply;
    if (!patience.again(reply ? refusal(*reply, order.call.path) : reply.error())) return reply;
  }
}

Result<Reply> Session::download(const Order& order, std::uint64_t offset,
                                const std::function<Result<void>(std::span<const std::byte>)>& sink) {
  return exchange(order, [&](http_client::Client& client, const Call& call) {
    return client.download(call, offset, sink, options_.stop);
  });
}

Error Session::refusal(const Reply& reply, std::string_view what) const {
  Error said = http_client::error_of(reply);
  const auto& who = options_.credentials;
  switch (reply.status) {
    case 401:
    case 403: {
      const std::string asked = who.empty() ? "nobody in particular" : "'" + who.username + "'";
      const std::string helper =
          who.helper.empty() || !who.empty()
              ? ""
              : fmt::format(" (the credential helper '{}' is named for it, which verge does not run)", who.helper);
      const bool unknown = reply.status == 401;
      return {unknown ? ErrorCode::unauthenticated : ErrorCode::permission_denied,
              unknown ? "VRG-REG-003" : "VRG-REG-004",
              fmt::format("{}: {} is refused to {}: {}; ask as somebody who may, by a user name and a password or "
                          "token{}",
                          name(), what, asked, said.text(), helper)};
    }
    case 404:
      return {
          ErrorCode::not_found, "VRG-REG-006",
          fmt::format("{}: expected {}, got '{}'; check the name, and who may see it", name(), what, said.message())};
    case 429:
      return {ErrorCode::unavailable, "VRG-REG-005",
              fmt::format("{}: more was asked for than the registry gives for now: {}; try again later, or as "
                          "somebody known to it",
                          name(), said.message())};
    default: break;
  }
  return std::move(said).with_context(fmt::format("{}: {}", name(), what));
}

}  // namespace verge::registry_client
