#include "verge/http/listener.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <fcntl.h>
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

bool is_at(const sockaddr_storage& has, const sockaddr& wanted) {
  if (has.ss_family != wanted.sa_family) return false;
  const auto fits = [](in_port_t port, in_port_t its) { return port == 0 || port == its; };
  if (has.ss_family == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(has);
    const auto& b = reinterpret_cast<const sockaddr_in&>(wanted);
    return a.sin_addr.s_addr == b.sin_addr.s_addr && fits(b.sin_port, a.sin_port);
  }
  if (has.ss_family == AF_INET6) {
    const auto& a = reinterpret_cast<const sockaddr_in6&>(has);
    const auto& b = reinterpret_cast<const sockaddr_in6&>(wanted);
    return std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0 && fits(b.sin6_port, a.sin6_port);
  }
  return std::strncmp(reinterpret_cast<const sockaddr_un&>(has).sun_path,
                      reinterpret_cast<const sockaddr_un&>(wanted).sun_path, sizeof(sockaddr_un::sun_path)) == 0;
}

/// Our own descriptor for the one that listens at `wanted`; empty: none does.
Descriptor taken_over(const std::vector<int>& kept, const sockaddr& wanted) {
  for (const int number : kept) {
    sockaddr_storage has{};
    socklen_t length = sizeof has;
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockname(number, reinterpret_cast<sockaddr*>(&has), &length) != 0 || !is_at(has, wanted)) continue;
    if (::getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
    return Descriptor(::fcntl(number, F_DUPFD_CLOEXEC, 0));
  }
  return {};
}

}  // namespace

Listener::~Listener() {
  if (!socket_ || path_.empty() || kept_) return;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

Result<Listener> Listener::tcp(const std::string& address, std::uint16_t port, const std::vector<int>& kept) {
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
  listener.socket_ = taken_over(kept, *found->ai_addr);
  if (listener.socket_) return listener;
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

Result<Listener> Listener::unix_socket(const std::filesystem::path& path, const std::vector<int>& kept) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) {
    return Error(ErrorCode::invalid_argument, "VRG-HTT-001",
                 fmt::format("expected a path of at most {} bytes for a Unix socket, got '{}'",
                             sizeof address.sun_path - 1, path.string()));
  }
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);  // What follows is zero.
  Listener listener;
  listener.socket_ = taken_over(kept, reinterpret_cast<const sockaddr&>(address));
  listener.path_ = path;
  if (listener.socket_) return listener;
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
    if (is_alive(address)) {
      errno = EADDRINUSE;
      return taken("the Unix socket '" + path.string() + "'");
    }
    ::unlink(path.c_str());
  }
  listener.path_.clear();  // Nothing of ours to remove yet.
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
  if (kept_) return;
  ::shutdown(number(), SHUT_RDWR);
}

}  // namespace verge::http
