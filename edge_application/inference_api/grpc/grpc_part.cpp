// The part's own: a server with the service in it.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <mutex>

#include <malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>

#include "grpc_service.hpp"

namespace verge::inference_api {
namespace {

/// Each running call and each open stream has one.
constexpr int kMaxThreads = 256;
/// What a message has beside its tensors.
constexpr std::uint64_t kEnvelopeBytes = std::uint64_t{64} << 10U;

/// TLS whose certificates are asked for at each handshake: gRPC's own watcher would take a new key for an old
/// certificate while the two files are being replaced.
class RenewedCredentials final : public grpc::ServerCredentials {
 public:
  explicit RenewedCredentials(std::function<std::shared_ptr<const http::Tls>()> tls) : tls_(std::move(tls)) {
    const bool asks = !tls_()->client_authority.empty();
    credentials_ =
        grpc_ssl_server_credentials_create_with_options(grpc_ssl_server_credentials_create_options_using_config_fetcher(
            asks ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, renew,
            this));
  }
  ~RenewedCredentials() override { grpc_server_credentials_release(credentials_); }
  RenewedCredentials(const RenewedCredentials&) = delete;
  RenewedCredentials& operator=(const RenewedCredentials&) = delete;
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }
  static grpc_ssl_certificate_config_reload_status renew(void* user, grpc_ssl_server_certificate_config** config) {
    auto& self = *static_cast<RenewedCredentials*>(user);
    auto tls = self.tls_();
    const std::lock_guard lock(self.mutex_);
    if (tls == self.used_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair{tls->key.c_str(), tls->certificate.c_str()};
    // gRPC wants an authority here even where no client is asked for a certificate, and then never looks at it.
    const std::string& authority = tls->client_authority.empty() ? tls->certificate : tls->client_authority;
    *config = grpc_ssl_server_certificate_config_create(authority.c_str(), &pair, 1);
    self.used_ = std::move(tls);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  std::function<std::shared_ptr<const http::Tls>()> tls_;
  std::mutex mutex_;
  std::shared_ptr<const http::Tls> used_;
  grpc_server_credentials* credentials_ = nullptr;
};

std::shared_ptr<grpc::ServerCredentials> credentials(const GrpcOptions& options) {
  if (!options.tls) return grpc::InsecureServerCredentials();
  return std::make_shared<RenewedCredentials>(options.tls);
}

/// What a program that has ended left behind is removed; gRPC would refuse the address.
void remove_stale(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool alive = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  if (!alive) ::unlink(path.c_str());
}

class Server final : public GrpcServer {
 public:
  Server(const GrpcOptions& options, const Service& service) : options_(options), service_(options_, service) {}
  ~Server() override { stop(std::chrono::milliseconds(0)); }

  Result<void> start() {
    grpc::ServerBuilder builder;
    int port = 0;
    const bool six = options_.address.find(':') != std::string::npos;
    const auto address = fmt::format(fmt::runtime(six ? "[{}]:{}" : "{}:{}"), options_.address, options_.port);
    credentials_ = credentials(options_);
    builder.AddListeningPort(address, credentials_, &port);
    if (!options_.unix_socket.empty()) {
      remove_stale(options_.unix_socket);
      builder.AddListeningPort("unix:" + options_.unix_socket, grpc::InsecureServerCredentials());
    }
    constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<int>::max());
    builder.SetMaxReceiveMessageSize(static_cast<int>(std::min(kLargest, options_.max_message_bytes + kEnvelopeBytes)));
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetResourceQuota(grpc::ResourceQuota("inference").SetMaxThreads(kMaxThreads));
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return Error(ErrorCode::unavailable, "VRG-API-051",
                   fmt::format("gRPC cannot listen on {}{}; stop what uses it, or choose another 'api: grpc: port' (0: "
                               "any)",
                               address, options_.unix_socket.empty() ? "" : " and unix:" + options_.unix_socket));
    }
    port_ = static_cast<std::uint16_t>(port);
    if (!options_.unix_socket.empty()) ::chmod(options_.unix_socket.c_str(), 0660);
    return {};
  }

  [[nodiscard]] std::uint16_t port() const noexcept override { return port_; }
  void stop(std::chrono::milliseconds patience) override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + patience);
    server_->Wait();
    server_.reset();
    std::error_code ignored;
    if (!options_.unix_socket.empty()) std::filesystem::remove(options_.unix_socket, ignored);
  }

 private:
  const GrpcOptions options_;
  GrpcService service_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;  ///< Asked as long as the server lives.
  std::unique_ptr<grpc::Server> server_;
  std::uint16_t port_ = 0;
};

Result<std::unique_ptr<GrpcServer>> start(const GrpcOptions& options, const Service& service) {
  // The agent's log is one format; a client's failed handshake is no news.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
  // Each call takes and gives back memory of its tensors' size several times: fresh pages each time would cost more
  // than all the rest. What is larger still goes back to the system at once.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
  auto server = std::make_unique<Server>(options, service);
  VERGE_TRY(server->start());
  return std::unique_ptr<GrpcServer>(std::move(server));
}

}  // namespace
}  // namespace verge::inference_api

extern "C" __attribute__((visibility("default"))) const verge::inference_api::GrpcPart* verge_grpc_part_entry() {
  static constexpr verge::inference_api::GrpcPart kPart{VERGE_VERSION, verge::inference_api::start};
  return &kPart;
}
