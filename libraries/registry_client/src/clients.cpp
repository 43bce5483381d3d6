#include "clients.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace verge::registry_client {
namespace {

constexpr std::size_t kUrlLimit = 16U << 10U;
constexpr std::size_t kServerLimit = 8;

}  // namespace

Result<Url> parse_url(std::string_view text) {
  const auto refused = [&] {
    return Error(ErrorCode::data_loss, "VRG-REG-010",
                 fmt::format("expected a URL with http or https, got '{}'", text.substr(0, 200)));
  };
  const bool plain = text.find_first_of(" \\\"<>") == std::string_view::npos &&
                     std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
  const auto slashes = text.find("://");
  if (!plain || text.size() > kUrlLimit || slashes == std::string_view::npos) return refused();
  text = text.substr(0, text.find('#'));
  const auto end = std::min(text.find_first_of("/?", slashes + 3), text.size());
  Url url{std::string(text.substr(0, end)), std::string(text.substr(end))};
  std::ranges::transform(url.origin, url.origin.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const bool https = url.origin.starts_with("https://");
  if ((!https && !url.origin.starts_with("http://")) || url.origin.find('@') != std::string::npos) return refused();
  const std::string_view usual = https ? ":443" : ":80";
  if (url.origin.ends_with(usual)) url.origin.resize(url.origin.size() - usual.size());
  if (url.path.empty() || url.path.front() != '/') url.path.insert(0, "/");
  return url;
}

Result<Url> follow(const Url& from, std::string_view location) {
  std::string whole(location);
  if (location.starts_with("//")) {
    whole.insert(0, from.encrypted() ? "https:" : "http:");
  } else if (location.starts_with('/')) {
    whole.insert(0, from.origin);
  } else if (location.find("://") == std::string_view::npos) {
    const auto path = from.path.substr(0, from.path.find('?'));
    whole.insert(0, from.origin + path.substr(0, path.rfind('/') + 1));
  }
  VERGE_ASSIGN(auto to, parse_url(whole));
  if (from.encrypted() && !to.encrypted()) {
    return Error(ErrorCode::permission_denied, "VRG-REG-011",
                 fmt::format("expected '{}' to lead to a place with https, got '{}'; it is not gone to", from.origin,
                             to.origin));
  }
  return to;
}

Result<http_client::Client*> Clients::at(const std::string& origin) {
  auto& client = clients_[origin];
  if (client == nullptr) {
    if (clients_.size() > kServerLimit) {
      return Error(ErrorCode::permission_denied, "VRG-REG-011",
                   fmt::format("expected a registry on at most {} servers, got one that leads to yet another, '{}'",
                               kServerLimit, origin));
    }
    http_client::ClientOptions options;
    options.base_url = origin;
    options.ca_certificate = options_.ca_certificate;
    options.user_agent = options_.user_agent;
    options.proxy = options_.proxy;
    options.proxy_ca_certificate = options_.proxy_ca_certificate;
    options.max_download_bytes_per_s = options_.max_download_bytes_per_s;
    VERGE_ASSIGN(client, http_client::Client::create(std::move(options)));
  }
  return client.get();
}

}  // namespace verge::registry_client
