#include "grpc_listeners.hpp"

#include <cerrno>
#include <csignal>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace verge::inference_api {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// While there are too many, it is looked so often which of them have gone.
constexpr milliseconds kBetweenLooks{100};
/// Zero: not a socket.
std::uint64_t cookie_of(int number) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return ::getsockopt(number, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

Error cannot_listen(const Error& error, std::string_view key) {
  if (error.code() != ErrorCode::unavailable) return error;
  return Error(ErrorCode::unavailable, "VRG-API-051",
               fmt::format("gRPC has no place to listen: {} '{}' under 'api: grpc'", error.message(), key));
}

}  // namespace

bool GivenConnections::add(int socket) {
  if (cookies_.size() >= most_ && Clock::now() - looked_ >= kBetweenLooks) forget_closed();
  if (cookies_.size() >= most_) return false;
  cookies_[socket] = cookie_of(socket);
  return true;
}

std::size_t GivenConnections::count() {
  forget_closed();
  return cookies_.size();
}

void GivenConnections::forget_closed() {
  std::erase_if(cookies_, [](const auto& one) { return cookie_of(one.first) != one.second; });
  looked_ = Clock::now();
}

Result<void> GrpcListeners::open(const GrpcOptions& options, grpc::ServerBuilder& builder,
                                 const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  const auto add = [&](http::Listener listener, const std::shared_ptr<grpc::ServerCredentials>& its) {
    if (options.keep && options.keep(listener.number(), listener.is_unix())) listener.set_kept();
    using Builder = grpc::ServerBuilder::experimental_type;
    doors_.push_back({std::move(listener), builder.experimental().AddExternalConnectionAcceptor(
                                               Builder::ExternalConnectionType::FROM_FD, its)});
  };
  auto tcp = http::Listener::tcp(options.address, options.port, options.kept);
  if (!tcp) return cannot_listen(tcp.error(), "port");
  if (options.unix_socket.empty()) {
    add(std::move(*tcp), credentials);
    return {};
  }
  auto local = http::Listener::unix_socket(options.unix_socket, options.kept);
  if (!local) return cannot_listen(local.error(), "unix_socket");
  add(std::move(*tcp), credentials);
  add(std::move(*local), grpc::InsecureServerCredentials());
  return {};
}

Result<void> GrpcListeners::start() {
  end_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!end_) {
    return Error(ErrorCode::unavailable, "VRG-API-052",
                 "gRPC does not start: the system gives no more file descriptors; raise the limit (ulimit -n)");
  }
  thread_ = std::thread([this] { serve(); });
  return {};
}

void GrpcListeners::stop() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  static_cast<void>(::write(end_.number(), &one, sizeof one));
  thread_.join();
  for (const auto& door : doors_) door.listener.shut();
}

void GrpcListeners::serve() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::vector<pollfd> waiting{{end_.number(), POLLIN, 0}};
  for (const auto& door : doors_) waiting.push_back({door.listener.number(), POLLIN, 0});
  for (;;) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting.front().revents != 0) return;
    for (std::size_t i = 0; i < doors_.size(); ++i) {
      if (waiting[i + 1].revents != 0) accept(doors_[i]);
    }
  }
}

void GrpcListeners::accept(Door& door) {
  auto client = door.listener.accept();
  if (!client.socket) {
    const bool none = errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
    if (!none) std::this_thread::sleep_for(milliseconds(10));  // No descriptors: never spin.
    return;
  }
  if (!connections_.add(client.socket.number())) return;  // The client sees it closed, and tries again later.
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters given;
  given.listener_fd = door.listener.number();
  given.fd = client.socket.release();
  door.acceptor->HandleNewConnection(&given);
}

}  // namespace verge::inference_api
