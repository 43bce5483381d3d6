// gRPC server: the same service over gRPC (package inference, GRPCInferenceService), in a part that is loaded only
// where it is switched on: an empty one takes 15 MB.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/http/server.hpp"
#include "verge/inference_api/service.hpp"

namespace verge::inference_api {

struct GrpcOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;   ///< 0: the system chooses.
  std::string unix_socket;  ///< Listened on as well, without TLS and without asking for tokens. Empty: none.
  std::uint64_t max_message_bytes = std::uint64_t{64} << 20U;
  std::size_t max_connections = 1024;  ///< More are closed at once.
  std::vector<int> kept;               ///< As http::ServerOptions::kept.
  /// As http::ServerOptions::keep.
  std::function<bool(int listening_socket, bool is_unix)> keep;
  /// Certificates, asked for at each handshake, from any thread: the same pointer while nothing is new. Empty: no TLS.
  std::function<std::shared_ptr<const http::Tls>()> tls;
  /// Whether a client on TCP may call, by its "authorization" and whether it showed a certificate. Empty: all may.
  std::function<Result<void>(std::string_view authorization, bool has_certificate)> admit;
};

/// Serves until stop() or destruction.
class GrpcServer {
 public:
  virtual ~GrpcServer() = default;
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;
  [[nodiscard]] virtual std::uint16_t port() const noexcept = 0;
  /// Sends the clients away, to the program that follows where the sockets are kept: what they have asked is answered,
  /// at most `patience` long, and what they ask next waits there. Streams that are waiting for a request end
  /// (UNAVAILABLE).
  virtual void stop(std::chrono::milliseconds patience) = 0;

 protected:
  GrpcServer() = default;
};

/// Loads the part and starts it; `service` must outlive it. Errors: unavailable (VRG-API-050 the part is not installed;
/// 051 an address is taken; 052 the system gives too little), failed_precondition (VRG-API-050 the part of another
/// version).
Result<std::unique_ptr<GrpcServer>> start_grpc(const GrpcOptions& options, const Service& service);

/// What the part exports as verge_grpc_part_entry(). Both sides are of one build: `version` says so.
struct GrpcPart {
  const char* version;
  Result<std::unique_ptr<GrpcServer>> (*start)(const GrpcOptions& options, const Service& service);
};
using GrpcPartEntry = const GrpcPart* (*)();

}  // namespace verge::inference_api
