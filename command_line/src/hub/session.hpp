// Session: the hub that the user has logged in to.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "../output.hpp"
#include "verge/base/error.hpp"
#include "verge/http_client/client.hpp"
#include "verge/wire/document.hpp"

namespace verge::cli {

/// Errors: those of transport and of the hub; unauthenticated (VRG-CLI-010) when nobody has logged in.
class HubSession {
 public:
  /// The hub of VERGE_HUB_LOGIN (a file), or of the last 'verge login'.
  static Result<HubSession> open();
  /// Pins the authority with this fingerprint, checks the token, and keeps both in login_file().
  static Result<HubSession> login(const std::string& url, const std::string& fingerprint, const std::string& token);
  static std::filesystem::path login_file();

  /// The answer as a document; a null node for an answer without a body.
  Result<wire::Node> call(const std::string& method, const std::string& path, const std::string& body = {});
  Result<wire::Node> get(const std::string& path) { return call("GET", path); }
  /// Any status but those of failure.
  Result<http_client::Reply> send(const http_client::Call& call);
  /// A file of the hub's signed metadata.
  Result<std::string> metadata(std::string_view name, std::uint64_t limit_bytes);
  /// The body in pieces, from its beginning.
  Result<void> download(const std::string& path, const std::function<Result<void>(std::span<const std::byte>)>& sink);
  /// get() as one of the schemas' types.
  template <typename Document>
  Result<Document> read(const std::string& path, Result<Document> (*reader)(const wire::Node&, const wire::Place&)) {
    VERGE_ASSIGN(const wire::Node node, get(path));
    return reader(node, wire::Place(path));
  }
  [[nodiscard]] const std::string& url() const noexcept { return url_; }

 private:
  std::string url_;
  std::unique_ptr<http_client::Client> client_;
};

/// `text` for a URL's path or query.
[[nodiscard]] std::string encode(std::string_view text);

/// "2026-11-25 01:02:03" of a moment, or "-".
[[nodiscard]] std::string moment(std::int64_t ms);
/// "3 min ago".
[[nodiscard]] std::string ago(std::int64_t ms, std::int64_t now_ms);

}  // namespace verge::cli
