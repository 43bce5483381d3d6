// Listeners: where gRPC's clients come to, and the thread that gives them to its server. Listening sockets of gRPC's
// own end with its server; these can outlive the program.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include <grpcpp/server_builder.h>

#include "verge/http/listener.hpp"
#include "verge/inference_api/grpc_server.hpp"

namespace verge::inference_api {

/// The connections that a server was given. gRPC closes them and tells nobody: one is there as long as its descriptor
/// is still the socket that was given. Used by one thread at a time.
class GivenConnections {
 public:
  explicit GivenConnections(std::size_t most) : most_(most) {}
  /// Before the server is given it. False: there are as many as there may be.
  bool add(int socket);
  /// How many are there.
  std::size_t count();

 private:
  void forget_closed();

  const std::size_t most_;
  std::unordered_map<int, std::uint64_t> cookies_;  ///< By descriptor. The kernel gives each socket another one.
  std::chrono::steady_clock::time_point looked_;
};

class GrpcListeners {
 public:
  explicit GrpcListeners(std::size_t max_connections) : connections_(max_connections) {}
  ~GrpcListeners() { stop(); }
  GrpcListeners(const GrpcListeners&) = delete;
  GrpcListeners& operator=(const GrpcListeners&) = delete;

  /// Takes over or opens what the options name, for the server that the builder will make. `credentials` are TCP's.
  /// Errors: unavailable (VRG-API-051).
  Result<void> open(const GrpcOptions& options, grpc::ServerBuilder& builder,
                    const std::shared_ptr<grpc::ServerCredentials>& credentials);
  /// Gives the server who comes. It must run, and until stop() returns. Errors: unavailable (VRG-API-052).
  Result<void> start();
  /// Who comes from now on waits for the program that follows; is turned away where the socket is not kept.
  void stop();
  [[nodiscard]] std::uint16_t port() const noexcept { return doors_.front().listener.port(); }
  /// After stop().
  [[nodiscard]] GivenConnections& connections() noexcept { return connections_; }

 private:
  struct Door {
    http::Listener listener;
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  };
  void serve();
  void accept(Door& door);

  std::vector<Door> doors_;  ///< The first is TCP.
  GivenConnections connections_;
  Descriptor end_;
  std::thread thread_;
};

}  // namespace verge::inference_api
