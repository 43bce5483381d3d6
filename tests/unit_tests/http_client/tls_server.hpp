// A small HTTPS server for tests: one thread for each connection, any answer that a test wants, byte for byte.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <openssl/ssl.h>

namespace verge::http_client {

struct TlsServerOptions {
  std::string certificates;      ///< PEM: its own, then others.
  std::string key;               ///< PEM.
  std::string client_authority;  ///< PEM; not empty: clients must show a certificate of it.
};

class TlsServer {
 public:
  /// Gets a request (head and body) and gives the answer's bytes; the connection ends when it is empty or says so.
  using Handler = std::function<std::string(const std::string& request)>;
  TlsServer(const TlsServerOptions& options, Handler handler);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  [[nodiscard]] std::string url() const { return "https://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void accept();
  void serve(int socket);
  Handler handler_;
  SSL_CTX* context_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace verge::http_client
