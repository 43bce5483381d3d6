#include "channel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <openssl/err.h>

namespace verge::http {
namespace {

constexpr std::size_t kMaxPieces = 16;

Io of_errno() noexcept {
  return errno == EAGAIN ? Io::wait_read : Io::closed;
}

}  // namespace

Channel::Channel(Descriptor socket, const std::shared_ptr<SSL_CTX>& context) : socket_(std::move(socket)) {
  if (context == nullptr) return;
  tls_.reset(SSL_new(context.get()));
  SSL_set_fd(tls_.get(), socket_.number());
  SSL_set_accept_state(tls_.get());
}

Io Channel::outcome(int result) noexcept {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ: return Io::wait_read;
    case SSL_ERROR_WANT_WRITE: return Io::wait_write;
    default: ERR_clear_error(); return Io::closed;
  }
}

Io Channel::shake_hands() {
  ERR_clear_error();
  const int result = SSL_do_handshake(tls_.get());
  return result == 1 ? Io::done : outcome(result);
}

Moved Channel::read(std::span<std::byte> out) {
  if (secure()) {
    std::size_t got = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(tls_.get(), out.data(), out.size(), &got);
    return result == 1 ? Moved{Io::done, got} : Moved{outcome(result), 0};
  }
  ssize_t got = 0;
  do {
    got = ::recv(number(), out.data(), out.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got > 0) return {Io::done, static_cast<std::size_t>(got)};
  return {got == 0 ? Io::closed : of_errno(), 0};
}

Moved Channel::write(std::span<const Piece> pieces) {
  if (secure()) {
    const auto first = std::ranges::find_if(pieces, [](const Piece& piece) { return !piece.empty(); });
    if (first == pieces.end()) return {Io::done, 0};
    std::size_t written = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(tls_.get(), first->data(), first->size(), &written);
    return result == 1 ? Moved{Io::done, written} : Moved{outcome(result), 0};
  }
  std::array<iovec, kMaxPieces> parts{};
  std::size_t count = 0;
  for (const auto& piece : pieces) {
    if (piece.empty() || count == parts.size()) continue;
    parts[count++] = {const_cast<std::byte*>(piece.data()), piece.size()};
  }
  if (count == 0) return {Io::done, 0};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  ssize_t written = 0;
  do {
    written = ::sendmsg(number(), &message, MSG_NOSIGNAL);
  } while (written < 0 && errno == EINTR);
  if (written >= 0) return {Io::done, static_cast<std::size_t>(written)};
  return {of_errno() == Io::closed ? Io::closed : Io::wait_write, 0};
}

Io Channel::discard(std::span<std::byte> scratch) noexcept {
  const auto got = ::recv(number(), scratch.data(), scratch.size(), 0);
  return got > 0 ? Io::done : got == 0 ? Io::closed : of_errno();
}

void Channel::say_goodbye() noexcept {
  if (secure()) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
    ERR_clear_error();
  }
  ::shutdown(number(), SHUT_WR);
}

}  // namespace verge::http
