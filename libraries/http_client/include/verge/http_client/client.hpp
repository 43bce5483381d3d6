// HTTP client: requests that can be stopped, downloads that go on where they ended. TLS always checks the server.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::http_client {

struct ClientOptions {
  std::string base_url;            ///< "https://hub:8700"; paths are put behind it.
  std::string ca_certificate;      ///< PEM; only servers whose chain ends here are trusted. Empty: the system's.
  std::string client_certificate;  ///< PEM; empty: none is shown.
  std::string client_key;          ///< PEM.
  std::string bearer_token;        ///< Empty: none.
  std::string user_agent = "verge";
  std::chrono::milliseconds connect_timeout{10'000};
  std::string proxy;                           ///< URL; empty: that of the environment, none for this machine itself.
  std::string proxy_ca_certificate;            ///< PEM, for a proxy with https. Empty: the system's.
  std::uint64_t max_download_bytes_per_s = 0;  ///< Of download(); 0: no limit.
  bool check_validity_dates = true;  ///< False only to ask a server, whose chain is checked all the same, for the time.
};

struct Reply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Names in lower case.
  std::string body;
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

struct Call {
  std::string method = "GET";
  std::string path;  ///< Begins with '/'; may hold a query.
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::filesystem::path body_file;                       ///< Sent in place of `body` when not empty, with progress.
  std::uint64_t body_offset_bytes = 0;                   ///< Of body_file: where what is sent begins.
  std::optional<std::uint64_t> body_length_bytes;        ///< Of body_file: how much is sent; to its end when absent.
  std::uint64_t limit_bytes = std::uint64_t{16} << 20U;  ///< Of the reply's body.
  std::chrono::milliseconds timeout{30'000};             ///< Without a byte moving, for files; in all, for others.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  ///< Of body_file.
};

/// One connection that is kept alive; calls of several threads take turns. Errors of transport: unavailable
/// (VRG-HTC-001 cannot connect, 002 broken off), unauthenticated (VRG-HTC-003 the server's certificate: what is wrong,
/// with its dates when they are), deadline_exceeded (VRG-HTC-004), cancelled (VRG-HTC-005), resource_exhausted
/// (VRG-HTC-006 the reply is too large), permission_denied (VRG-HTC-007 the server refused our certificate).
/// After a 429 or 503 with Retry-After nothing is sent until then, or an hour has passed: unavailable (VRG-HTC-010).
class Client {
 public:
  /// Errors: invalid_argument (VRG-HTC-008) for a URL or PEM that is none.
  static Result<std::unique_ptr<Client>> create(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Any status is a reply.
  Result<Reply> send(const Call& call, const std::stop_token& stop = {});

  /// The body of `path` from byte `offset` on (Range), in pieces, to `sink`, which may end it with an error. An answer
  /// of 200 to an offset above 0 is read and the first bytes are dropped. Status other than 200 and 206 become errors
  /// by error_of(). `idle_timeout`: without a byte.
  Result<void> download(const std::string& path, std::uint64_t offset,
                        const std::function<Result<void>(std::span<const std::byte>)>& sink,
                        std::chrono::milliseconds idle_timeout, const std::stop_token& stop = {});
  /// The same for a call with headers, whose `timeout` is without a byte. Any status is a reply; what comes with one
  /// other than 200 and 206 is its body.
  Result<Reply> download(const Call& call, std::uint64_t offset,
                         const std::function<Result<void>(std::span<const std::byte>)>& sink,
                         const std::stop_token& stop = {});

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The error that a reply with status 400 and above means: its code from the status, its text from {"error": "message
/// [ID]"} when the body is so, and VRG-HTC-009 as identifier when it names none. Retry-After is kept in the text.
[[nodiscard]] Error error_of(const Reply& reply);

/// The certificates that a server shows, as PEM, its own first, unchecked: to compare a fingerprint before trusting
/// any. Errors: those of transport.
Result<std::vector<std::string>> certificate_chain(const std::string& base_url, std::chrono::milliseconds timeout);

}  // namespace verge::http_client
