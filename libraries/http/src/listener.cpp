#include "listener.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

namespace verge::http {
namespace {

constexpr int kFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
constexpr mode_t kSocketMode = 0660;
/// What is not taken at once waits in the kernel: a tensor of the usual size should be.
constexpr int kSendBufferBytes = 1 << 20;

Error taken(const std::string& where) {
  return Error(
      ErrorCode::unavailable, "VRG-HTT-002",
      fmt::format("cannot listen on {}: {}; stop what uses it, or choose another", where, std::strerror(errno)));
}

/// Whether a program answers at the address.
bool is_alive(const sockaddr_un& address) {
  const Descriptor probe(::socket(AF_UNIX, kFlags, 0));
  return ::connect(probe.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
}

std::string text_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(), text.size());
  } else if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text.data(), text.size());
  }
  return text.data();
}

}  // namespace

Listener::~Listener() {
  if (!socket_ || path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

Result<Listener> Listener::tcp(const std::string& address, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (address.empty() || getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return Error(ErrorCode::invalid_argument, "VRG-HTT-001",
                 fmt::format("expected an IP address such as 127.0.0.1 or ::1, got '{}'", address));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  Listener listener;
  listener.socket_ = Descriptor(::socket(found->ai_family, kFlags, 0));
  const int on = 1;
  const int number = listener.number();
  ::setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Clients' sockets inherit it.
  if (number < 0 || ::bind(number, found->ai_addr, found->ai_addrlen) != 0 || ::listen(number, SOMAXCONN) != 0) {
    return taken(fmt::format("{} port {}", address, port));
  }
  return listener;
}

Result<Listener> Listener::unix_socket(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) {
    return Error(ErrorCode::invalid_argument, "VRG-HTT-001",
                 fmt::format("expected a path of at most {} bytes for a Unix socket, got '{}'",
                             sizeof address.sun_path - 1, path.string()));
  }
  std::strcpy(address.sun_path, path.c_str());
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
    if (is_alive(address)) {
      errno = EADDRINUSE;
      return taken("the Unix socket '" + path.string() + "'");
    }
    ::unlink(path.c_str());
  }
  Listener listener;
  listener.socket_ = Descriptor(::socket(AF_UNIX, kFlags, 0));
  if (!listener.socket_ ||
      ::bind(listener.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return taken("the Unix socket '" + path.string() + "'");
  }
  listener.path_ = path;
  if (::chmod(path.c_str(), kSocketMode) != 0 || ::listen(listener.number(), SOMAXCONN) != 0) {
    return taken("the Unix socket '" + path.string() + "'");
  }
  return listener;
}

Listener::Client Listener::accept() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  Client client;
  client.socket =
      Descriptor(::accept4(number(), reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!client.socket) return client;
  if (is_unix()) {
    ::setsockopt(client.socket.number(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
  }
  client.address = is_unix() ? "unix" : text_of(address);
  return client;
}

std::uint16_t Listener::port() const noexcept {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(number(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

void Listener::shut() const noexcept {
  ::shutdown(number(), SHUT_RDWR);
}

}  // namespace verge::http
