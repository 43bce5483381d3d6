#include "session.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/crypto/certificate.hpp"

namespace verge::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kLoginLimitBytes = 1U << 20U;

std::string text_of(const wire::Node& node, std::string_view key) {
  const wire::Node* found = node.find(key);
  return found == nullptr ? std::string() : found->text;
}

Result<std::unique_ptr<http_client::Client>> connect(const std::string& url, const std::string& authority,
                                                     const std::string& token) {
  http_client::ClientOptions options;
  options.base_url = url;
  options.ca_certificate = authority;
  options.bearer_token = token;
  options.user_agent = "verge/" VERGE_VERSION;
  return http_client::Client::create(std::move(options));
}

}  // namespace

std::filesystem::path HubSession::login_file() {
  if (const char* named = std::getenv("VERGE_HUB_LOGIN"); named != nullptr && *named != '\0') return named;
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path base = config != nullptr && *config != '\0' ? std::filesystem::path(config)
                                     : home != nullptr                    ? std::filesystem::path(home) / ".config"
                                                                          : std::filesystem::path(".");
  return base / "verge" / "login.json";
}

Result<HubSession> HubSession::open() {
  const auto file = login_file();
  auto text = read_text(file, kLoginLimitBytes);
  if (!text) {
    return Error(
        ErrorCode::unauthenticated, "VRG-CLI-010",
        fmt::format("not logged in to a hub: expected the file '{}'; 'verge-hub' prints the 'verge login …' line "
                    "when it starts for the first time",
                    file.string()));
  }
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(*text, file.string()));
  HubSession session;
  session.url_ = text_of(node, "url");
  VERGE_ASSIGN(session.client_, connect(session.url_, text_of(node, "authority"), text_of(node, "token")));
  return session;
}

Result<HubSession> HubSession::login(const std::string& url, const std::string& fingerprint, const std::string& token) {
  VERGE_ASSIGN(const auto chain, http_client::certificate_chain(url, 10s));
  std::string authority;
  std::string seen;
  for (const auto& pem : chain) {
    VERGE_ASSIGN(const auto certificate, crypto::read_certificate(pem));
    if (certificate.fingerprint == fingerprint) authority = pem;
    seen = certificate.fingerprint;
  }
  if (authority.empty()) {
    return Error(
        ErrorCode::unauthenticated, "VRG-CLI-011",
        fmt::format("{} is not the hub you mean: expected an authority with the fingerprint {}, got {}; compare "
                    "with the line that the hub printed",
                    url, fingerprint, seen));
  }
  HubSession session;
  session.url_ = url;
  VERGE_ASSIGN(session.client_, connect(url, authority, token));
  VERGE_TRY(session.get("/api/v1/status"));
  wire::Node node = wire::Node::map();
  node.add("url", wire::Node::string(url));
  node.add("authority", wire::Node::string(authority));
  node.add("token", wire::Node::string(token));
  const auto file = login_file();
  std::error_code ignored;
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  std::filesystem::create_directories(folder, ignored);
  const auto old = ::umask(S_IRWXG | S_IRWXO);
  auto written = write_file(file, std::string_view(wire::write_json(node)));
  ::umask(old);
  VERGE_TRY(std::move(written));
  ::chmod(file.c_str(), S_IRUSR | S_IWUSR);
  return session;
}

Result<http_client::Reply> HubSession::send(const http_client::Call& call) {
  VERGE_ASSIGN(http_client::Reply reply, client_->send(call));
  if (reply.status >= 400) return http_client::error_of(reply);
  return reply;
}

Result<std::string> HubSession::metadata(std::string_view name, std::uint64_t limit_bytes) {
  http_client::Call call;
  call.path = fmt::format("/tuf/metadata/{}", name);
  call.limit_bytes = limit_bytes;
  VERGE_ASSIGN(auto reply, send(call));
  return std::move(reply.body);
}

Result<void> HubSession::download(const std::string& path,
                                  const std::function<Result<void>(std::span<const std::byte>)>& sink) {
  return client_->download(path, 0, sink, 60s);
}

Result<wire::Node> HubSession::call(const std::string& method, const std::string& path, const std::string& body) {
  http_client::Call call;
  call.method = method;
  call.path = path;
  call.body = body;
  VERGE_ASSIGN(const http_client::Reply reply, send(call));
  if (reply.body.empty()) return wire::Node();
  return wire::parse_json(reply.body, path);
}

std::string encode(std::string_view text) {
  return encode_percent(text);
}

std::string moment(std::int64_t ms) {
  if (ms <= 0) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03}", fmt::localtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

std::string ago(std::int64_t ms, std::int64_t now_ms) {
  if (ms <= 0) return "never";
  const auto s = (now_ms - ms) / 1000;
  if (s < 2) return "now";
  if (s < 120) return fmt::format("{} s ago", s);
  if (s < 7200) return fmt::format("{} min ago", s / 60);
  if (s < 172800) return fmt::format("{} h ago", s / 3600);
  return fmt::format("{} days ago", s / 86400);
}

}  // namespace verge::cli
