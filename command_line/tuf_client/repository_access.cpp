#include "repository_access.hpp"

#include <fmt/format.h>

#include "verge/base/file.hpp"

namespace verge::tuf_client {
namespace {

std::string percent_encoded(std::string_view text, std::string_view kept) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
  std::string encoded;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos || kept.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace

Result<std::string> FolderStore::read(std::string_view role) {
  return read_text(folder_ / fmt::format("{}.json", role), trust::kTargetsLimitBytes);
}

Result<void> FolderStore::write(std::string_view role, std::string_view content) {
  return write_file(folder_ / fmt::format("{}.json", role), content);
}

Result<UrlSource> UrlSource::open(std::string_view url) {
  http_client::ClientOptions options;
  options.base_url = url;
  options.user_agent = "verge-tuf-client";
  VERGE_ASSIGN(auto client, http_client::Client::create(std::move(options)));
  return UrlSource(std::move(client));
}

Result<std::string> UrlSource::fetch(std::string_view name, std::uint64_t limit_bytes) {
  http_client::Call call;
  call.path = fmt::format("/{}", name);
  call.limit_bytes = limit_bytes;
  VERGE_ASSIGN(http_client::Reply reply, client_->send(call));
  if (reply.status == 200) return std::move(reply.body);
  const Error error = http_client::error_of(reply);
  if (reply.status != 403) return error;
  return Error(ErrorCode::not_found, error.id(), error.message());
}

std::string target_url_path(const trust::Target& target, bool consistent_snapshot) {
  const std::string_view path = target.path;
  if (!consistent_snapshot) return percent_encoded(path, "/");
  const auto name = path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1;
  const auto digest = std::string_view(target.digest).substr(target.digest.find(':') + 1);
  return percent_encoded(fmt::format("{}{}.{}", path.substr(0, name), digest, path.substr(name)), "/");
}

std::string target_file_name(std::string_view path) {
  return percent_encoded(path, "");
}

}  // namespace verge::tuf_client
