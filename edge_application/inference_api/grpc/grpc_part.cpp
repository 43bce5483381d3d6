// The part's own: a server with the service in it.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <future>
#include <limits>
#include <mutex>
#include <thread>

#include <malloc.h>

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/support/server_interceptor.h>
#include <grpcpp/version_info.h>

#include "grpc_listeners.hpp"
#include "grpc_service.hpp"

namespace verge::inference_api {
namespace {

/// Each running call and each open stream has one.
constexpr int kMaxThreads = 256;
/// What a message has beside its tensors.
constexpr std::uint64_t kEnvelopeBytes = std::uint64_t{64} << 10U;
/// As long, clients that are doing nothing are waited for at the end.
constexpr std::chrono::milliseconds kFarewell{300};
constexpr std::chrono::milliseconds kBetweenGoodbyes{5};

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

/// Counts the calls whose answers the kernel has not got to the last byte.
class CallCount final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallCount(std::atomic<int>& calls) : calls_(calls) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo*) override {
    return new Call(calls_);
  }

 private:
  class Call final : public grpc::experimental::Interceptor {
   public:
    explicit Call(std::atomic<int>& calls) : calls_(calls) { ++calls_; }
    ~Call() override { --calls_; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override { methods->Proceed(); }

   private:
    std::atomic<int>& calls_;
  };

  std::atomic<int>& calls_;
};

/// Has every client told to go (HTTP/2's GOAWAY): it asks no more here, and is answered what it has asked. gRPC 1.51
/// has this for its own use only; by what it offers, Shutdown(), calls fail that come before the client has heard it.
/// Weak, and used with the version that it was read in: another gRPC serves as well, and ends as Shutdown() does.
extern "C" __attribute__((weak)) void send_goaways(grpc_server* server) __asm__("_ZN9grpc_core6Server11SendGoawaysEv");

bool can_say_goodbye() {
  return GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51 && send_goaways != nullptr;
}

/// It wants a thread of gRPC's; an alarm's callback is on one.
void say_goodbye(grpc::Server& server) {
  const auto done = std::make_shared<std::promise<void>>();  // The callback's, until it has returned.
  grpc::Alarm alarm;
  alarm.Set(std::chrono::system_clock::now(), [&server, done](bool) {
    send_goaways(server.c_server());
    done->set_value();
  });
  done->get_future().wait();
}

class Server final : public GrpcServer {
 public:
  Server(const GrpcOptions& options, const Service& service)
      : options_(options), service_(options_, service), listeners_(options.max_connections) {}
  ~Server() override { stop(std::chrono::milliseconds(0)); }

  Result<void> start() {
    grpc::ServerBuilder builder;
    credentials_ = credentials(options_);
    VERGE_TRY(listeners_.open(options_, builder, credentials_));
    constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<int>::max());
    builder.SetMaxReceiveMessageSize(static_cast<int>(std::min(kLargest, options_.max_message_bytes + kEnvelopeBytes)));
    builder.SetResourceQuota(grpc::ResourceQuota("inference").SetMaxThreads(kMaxThreads));
    builder.RegisterService(&service_);
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> count;
    count.push_back(std::make_unique<CallCount>(unanswered_));
    builder.experimental().SetInterceptorCreators(std::move(count));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return Error(ErrorCode::unavailable, "VRG-API-052", "gRPC does not start; GRPC_VERBOSITY=ERROR shows why");
    }
    return listeners_.start();
  }

  [[nodiscard]] std::uint16_t port() const noexcept override { return listeners_.port(); }
  void stop(std::chrono::milliseconds patience) override {
    if (server_ == nullptr) return;
    listeners_.stop();
    if (can_say_goodbye()) {
      part_from_clients(patience);
      patience = kFarewell;
    }
    server_->Shutdown(std::chrono::system_clock::now() + patience);
    server_->Wait();
    server_.reset();
  }

 private:
  /// Until all have gone; those that do not hear are waited for as long as they are answered.
  void part_from_clients(std::chrono::milliseconds patience) {
    using Clock = std::chrono::steady_clock;
    auto& connections = listeners_.connections();
    for (const auto begun = Clock::now(); connections.count() > 0;) {
      const auto passed = Clock::now() - begun;
      if (passed >= kFarewell + patience) return;
      if (passed >= kFarewell && unanswered_ == service_.idle_streams()) return;
      say_goodbye(*server_);  // Anew: who was still shaking hands has done so meanwhile.
      std::this_thread::sleep_for(kBetweenGoodbyes);
    }
  }

  const GrpcOptions options_;
  GrpcService service_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;  ///< Asked as long as the server lives.
  GrpcListeners listeners_;
  std::atomic<int> unanswered_{0};
  std::unique_ptr<grpc::Server> server_;
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
