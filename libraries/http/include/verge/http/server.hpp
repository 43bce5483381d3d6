// HTTP/1.1 server: one thread for sockets, a pool for handlers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::http {

/// What a client sent. Views live as long as the handler runs.
struct Request {
  std::string_view method;  ///< "POST"
  std::string_view path;    ///< Without the query, as sent (percent-encoded).
  std::string_view query;   ///< Behind '?'; may be empty.
  std::span<const std::byte> body;
  std::function<std::string_view(std::string_view name)> header;  ///< Empty view when absent; names in any case.
};

/// What the handler answers.
struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

/// Runs on a thread of the pool, several at once. Must not throw; what it throws all the same becomes 500.
using Handler = std::function<Response(const Request&)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: the system chooses.
  unsigned handler_threads = 4;
  std::uint64_t max_body_bytes = std::uint64_t{64} << 20U;  ///< A larger one is answered with 413, unread.
  std::size_t max_connections = 1024;                       ///< More are answered with 503 and closed.
  std::chrono::seconds idle_timeout{75};
};

/// Serves from start() to stop() or destruction. Thread-safe.
class Server {
 public:
  /// Errors: invalid_argument (VRG-HTT-001 not an address), unavailable (VRG-HTT-002 the port is taken).
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;
  /// Takes no new requests, lets those that run end (at most `patience`), then closes all connections.
  void stop(std::chrono::milliseconds patience);

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// `text` with %XX decoded; nothing when it is malformed or holds a zero byte.
[[nodiscard]] bool decode_percent(std::string_view text, std::string& out);

}  // namespace verge::http
