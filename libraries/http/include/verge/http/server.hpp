// HTTP/1.1 server, on TCP and Unix sockets, with TLS where it is asked for.
//
// Several threads wait for all connections; the one that is woken reads the request, runs the handler and writes the
// answer: no request waits for a second thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
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
  /// Where the body is when ServerOptions::body_folder gave a folder; the handler may move it away, else it is removed.
  std::filesystem::path body_file;
  std::string_view client_certificate;  ///< PEM; checked against Tls::client_authority. Empty: none was shown.
  std::string_view remote_address;      ///< "127.0.0.1"; "unix" for a client on the Unix socket.
};

/// What the handler answers.
struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Sent in place of `body` when not empty: `length_bytes` bytes from `offset_bytes` on.
  std::filesystem::path file{};
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  /// When set, everything else here is ignored: the answer is what is given to `answer`, once, from any thread, when it
  /// is ready. No thread waits meanwhile. `answer` may be called after the client or the server has gone.
  std::function<void(std::function<void(Response)> answer)> later{};
  /// When set, `body` is only the beginning, and the answer ends with the connection: each time all has been sent, this
  /// is called for what comes next, which is given to `piece`, once, from any thread, as to `later`. An empty piece is
  /// the end.
  std::function<void(std::function<void(std::string)> piece)> more{};
  /// Sent behind `body` as they are, without a copy; valid as long as `keep` lives. The server lets `keep` go once it
  /// has sent them, or copied what a slow client does not take at once: it waits for nobody with it.
  std::vector<std::span<const std::byte>> attached{};
  std::shared_ptr<const void> keep{};
};

/// Runs on one of the server's threads, several at once; while one blocks, the others serve. Must not throw; what it
/// throws all the same becomes 500.
using Handler = std::function<Response(const Request&)>;

/// Certificates of a server. All PEM.
struct Tls {
  std::string certificate;       ///< The server's, then its issuers'.
  std::string key;               ///< PKCS #8.
  std::string client_authority;  ///< Clients may show a certificate that this one issued; others are refused in the
                                 ///< handshake. Empty: clients are not asked.
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: the system chooses.
  std::filesystem::path
      unix_socket;       ///< Listened on as well, without TLS, mode 0660; a stale one is replaced. Empty: none.
  unsigned threads = 4;  ///< That wait, read, handle and write: as many handlers may block at once.
  std::uint64_t max_body_bytes = std::uint64_t{64} << 20U;  ///< A larger one is answered with 413, unread.
  std::size_t max_connections = 1024;                       ///< More are answered with 503 and closed.
  std::chrono::seconds idle_timeout{75};
  std::optional<Tls> tls;
  /// Asked when a request's header has come (its body is empty then): a folder to write the body into, as a file, in
  /// place of memory; an empty path for memory. Must be quick.
  std::function<std::filesystem::path(const Request& head)> body_folder;
  std::uint64_t max_file_bytes = std::uint64_t{16} << 30U;  ///< Of such a body; a larger one is answered with 413.
  /// Asked when a body is about to go into a file: how many bytes it may have, when that is less than
  /// `max_file_bytes`. Must be quick.
  std::function<std::uint64_t(const Request& head)> file_limit;
  /// Makes the answer to a body of more than `limit_bytes`; a plain 413 when not set. The connection ends with it.
  std::function<Response(const Request& head, std::uint64_t limit_bytes)> too_large;
  /// Listening sockets of the program that ran here before; one that fits an address above (any port, where it is 0) is
  /// taken over, with all who wait there. They stay the caller's.
  std::vector<int> kept;
  /// Given each listening socket, to keep it over a restart of this program. True: it is kept. stop() then leaves who
  /// comes to the program that follows, and answers who is connected once more.
  std::function<bool(int listening_socket, bool is_unix)> keep;
  /// Called when a client comes, before its handshake: the place to look for newer certificates. Must be quick.
  std::function<void()> before_connection;
};

/// Serves from start() to stop() or destruction. Thread-safe.
class Server {
 public:
  /// Errors: invalid_argument (VRG-HTT-001 not an address; 003 certificate or key cannot be used), unavailable
  /// (VRG-HTT-002 the port or the Unix socket is taken; 004 the system gives no descriptors).
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;
  /// Certificates for the clients that come from now on; those that are connected stay. The server must have been
  /// started with TLS. Errors, leaving everything as it was: invalid_argument (VRG-HTT-003).
  Result<void> renew(const Tls& tls);
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
