// API server: the inference API as this device offers it: HTTP and gRPC, and who may come in.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tokens.hpp"
#include "verge/base/log.hpp"
#include "verge/http/server.hpp"
#include "verge/inference_api/grpc_server.hpp"
#include "verge/inference_api/router.hpp"
#include "verge/wire/edge_config.hpp"
#include "watched_files.hpp"

namespace verge::agent {

/// Sockets that outlive this program.
struct ApiSockets {
  /// Of the program before, with the names that `keep` was given; borrowed. Without a name: its keeper does not tell.
  std::vector<std::pair<int, std::string>> kept;
  /// As http::ServerOptions::keep, under a name.
  std::function<bool(int socket, std::string_view name)> keep;
};

class ApiServer {
 public:
  /// Answers paths that are the agent's own before the router sees them; nothing for others.
  using OwnPaths = std::function<std::optional<http::Response>(const http::Request&)>;

  /// Opens everything that the configuration asks for. References must outlive the server. Errors: those of
  /// http::Server, Tokens and start_grpc(); VRG-AGT-024 a certificate or key cannot be read.
  static Result<std::unique_ptr<ApiServer>> start(const wire::Api& api, ApiSockets sockets,
                                                  const inference_api::Service& service, telemetry::Metrics& metrics,
                                                  Log& log, OwnPaths own_paths);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept { return http_->port(); }
  /// "http://127.0.0.1:8600".
  [[nodiscard]] std::string url() const;
  /// "127.0.0.1:8601"; empty without gRPC.
  [[nodiscard]] std::string grpc_address() const;
  void stop(std::chrono::milliseconds patience);

 private:
  ApiServer(wire::Api api, ApiSockets sockets, const inference_api::Service& service, telemetry::Metrics& metrics,
            Log& log, OwnPaths own);
  Result<void> open();
  Result<void> open_grpc();
  [[nodiscard]] std::vector<int> kept(bool for_grpc, bool any_port) const;
  http::Response handle(const http::Request& request);
  Result<void> admit(std::string_view authorization, bool has_certificate);
  void renew_certificates();
  std::shared_ptr<const http::Tls> present_certificates();

  const wire::Api api_;
  const ApiSockets sockets_;
  const inference_api::Service& service_;
  inference_api::Router router_;
  Log& log_;
  OwnPaths own_paths_;
  std::unique_ptr<Tokens> tokens_;
  std::unique_ptr<WatchedFiles> certificates_;
  std::mutex tls_mutex_;
  std::shared_ptr<const http::Tls> tls_;  ///< As last read and found right.
  std::unique_ptr<http::Server> http_;
  std::unique_ptr<inference_api::GrpcServer> grpc_;
};

}  // namespace verge::agent
