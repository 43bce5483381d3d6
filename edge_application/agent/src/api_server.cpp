#include "api_server.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/base/file.hpp"

namespace verge::agent {
namespace {

/// More than may wait for one model, so that an overloaded one leaves threads for health, metrics and its neighbours.
constexpr unsigned kThreads = 40;
constexpr std::size_t kMaxConnections = 8192;
constexpr std::uint64_t kPemLimitBytes = std::uint64_t{1} << 20U;

std::string host_of(const std::string& address) {
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

Result<std::string> read_pem(const std::string& file) {
  auto text = read_text(file, kPemLimitBytes);
  if (text) return std::move(*text);
  return Error(text.error().code(), "VRG-AGT-024", fmt::format("'api: tls': {}", text.error().message()));
}

Result<http::Tls> read_tls(const wire::ApiTls& files) {
  http::Tls tls;
  VERGE_ASSIGN(tls.certificate, read_pem(files.certificate));
  VERGE_ASSIGN(tls.key, read_pem(files.key));
  if (files.client_authority) {
    VERGE_ASSIGN(tls.client_authority, read_pem(*files.client_authority));
  }
  return tls;
}

http::Response unauthorised(const Error& error) {
  http::Response response;
  response.status = 401;
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  response.body = nlohmann::json{{"error", error.text()}}.dump();
  return response;
}

}  // namespace

ApiServer::ApiServer(wire::Api api, ApiSockets sockets, const inference_api::Service& service,
                     telemetry::Metrics& metrics, Log& log, OwnPaths own)
    : api_(std::move(api)),
      sockets_(std::move(sockets)),
      service_(service),
      router_(service, metrics),
      log_(log),
      own_paths_(std::move(own)) {}

ApiServer::~ApiServer() {
  stop(std::chrono::seconds(1));
}

Result<std::unique_ptr<ApiServer>> ApiServer::start(const wire::Api& api, ApiSockets sockets,
                                                    const inference_api::Service& service, telemetry::Metrics& metrics,
                                                    Log& log, OwnPaths own_paths) {
  std::unique_ptr<ApiServer> server(
      new ApiServer(api, std::move(sockets), service, metrics, log, std::move(own_paths)));
  VERGE_TRY(server->open());
  if (api.grpc) VERGE_TRY(server->open_grpc());
  return server;
}

Result<void> ApiServer::open() {
  if (api_.tokens) {
    VERGE_ASSIGN(tokens_, Tokens::open(*api_.tokens, log_));
  }
  http::ServerOptions options;
  options.address = api_.address;
  options.port = static_cast<std::uint16_t>(api_.port);
  options.max_body_bytes = static_cast<std::uint64_t>(api_.max_request_bytes);
  options.threads = kThreads;
  options.max_connections = kMaxConnections;
  if (api_.unix_socket) options.unix_socket = *api_.unix_socket;
  options.kept = kept(false, options.port == 0);
  options.keep = [this](int socket, bool local) { return sockets_.keep(socket, local ? "local" : "api"); };
  if (api_.tls) {
    std::vector<std::string> files{api_.tls->certificate, api_.tls->key};
    if (api_.tls->client_authority) files.push_back(*api_.tls->client_authority);
    certificates_ = std::make_unique<WatchedFiles>(std::move(files));
    VERGE_ASSIGN(options.tls, read_tls(*api_.tls));
    tls_ = std::make_shared<const http::Tls>(*options.tls);
    options.before_connection = [this] { renew_certificates(); };
  }
  VERGE_ASSIGN(http_, http::Server::start(options, [this](const http::Request& request) { return handle(request); }));
  return {};
}

/// Any that is at the address will do. Where any port will do, the name tells HTTP's from gRPC's.
std::vector<int> ApiServer::kept(bool for_grpc, bool any_port) const {
  std::vector<int> fitting;
  for (const auto& [socket, name] : sockets_.kept) {
    if (!any_port || name.starts_with("grpc") == for_grpc) fitting.push_back(socket);
  }
  return fitting;
}

Result<void> ApiServer::open_grpc() {
  inference_api::GrpcOptions options;
  options.address = api_.address;
  options.port = static_cast<std::uint16_t>(api_.grpc->port);
  options.unix_socket = api_.grpc->unix_socket.value_or("");
  options.max_message_bytes = static_cast<std::uint64_t>(api_.max_request_bytes);
  options.max_connections = kMaxConnections;
  options.kept = kept(true, options.port == 0);
  options.keep = [this](int socket, bool local) { return sockets_.keep(socket, local ? "grpc-local" : "grpc"); };
  if (api_.tls) options.tls = [this] { return present_certificates(); };
  if (tokens_ != nullptr || (api_.tls && api_.tls->client_authority)) {
    options.admit = [this](std::string_view authorization, bool has_certificate) {
      return admit(authorization, has_certificate);
    };
  }
  VERGE_ASSIGN(grpc_, inference_api::start_grpc(options, service_));
  return {};
}

/// At each handshake: the client that comes has the new certificate already. A broken file, or a key that waits for its
/// certificate, changes nothing.
void ApiServer::renew_certificates() {
  if (http_ == nullptr || !certificates_->changed()) return;
  auto tls = read_tls(*api_.tls);
  const auto done = tls ? http_->renew(*tls) : Result<void>(tls.error());
  if (!done) {
    log_.error("the new certificates are refused; the old ones stay", {{"error", done.error().text()}});
    return;
  }
  log_.info("the certificates were read again", {{"file", api_.tls->certificate}});
  const std::lock_guard lock(tls_mutex_);
  tls_ = std::make_shared<const http::Tls>(std::move(*tls));
}

std::shared_ptr<const http::Tls> ApiServer::present_certificates() {
  renew_certificates();
  const std::lock_guard lock(tls_mutex_);
  return tls_;
}

Result<void> ApiServer::admit(std::string_view authorization, bool has_certificate) {
  const bool by_certificate = api_.tls && api_.tls->client_authority;
  if (by_certificate && has_certificate) return {};
  if (tokens_ != nullptr) {
    VERGE_TRY(tokens_->check(authorization));
    return {};
  }
  if (!by_certificate) return {};
  return Error(ErrorCode::unauthenticated, "VRG-AGT-022",
               "expected a certificate of the authority in 'api: tls: client_authority', got none");
}

http::Response ApiServer::handle(const http::Request& request) {
  // Whether it lives is not a secret, and those who look after it have no token.
  const bool open = request.remote_address == "unix" || request.path.starts_with("/v2/health/");
  if (!open) {
    const auto admitted = admit(request.header("Authorization"), !request.client_certificate.empty());
    if (!admitted) return unauthorised(admitted.error());
  }
  if (auto own = own_paths_(request)) return std::move(*own);
  return router_.handle(request);
}

std::string ApiServer::url() const {
  return fmt::format("{}://{}:{}", api_.tls ? "https" : "http", host_of(api_.address), port());
}

std::string ApiServer::grpc_address() const {
  return grpc_ == nullptr ? std::string() : fmt::format("{}:{}", host_of(api_.address), grpc_->port());
}

void ApiServer::stop(std::chrono::milliseconds patience) {
  // HTTP's farewell takes its time, gRPC's clients go at once: meanwhile they are served as ever.
  if (http_ != nullptr) http_->stop(patience);
  if (grpc_ != nullptr) grpc_->stop(patience);
}

}  // namespace verge::agent
