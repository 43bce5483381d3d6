// Channel: a socket that never blocks, plain or with TLS, behind one type.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include <openssl/ssl.h>

#include "verge/base/descriptor.hpp"

namespace verge::http {

/// What came of an attempt.
enum class Io {
  done,
  wait_read,   ///< Try again when the socket can be read …
  wait_write,  ///< … or written: with TLS either may be needed for both.
  closed,      ///< By the client, or an error.
};

struct Moved {
  Io io = Io::closed;
  std::size_t bytes = 0;
};

class Channel {
 public:
  using Piece = std::span<const std::byte>;

  /// Without a context it is plain.
  Channel(Descriptor socket, const std::shared_ptr<SSL_CTX>& context);

  [[nodiscard]] int number() const noexcept { return socket_.number(); }
  [[nodiscard]] bool secure() const noexcept { return tls_ != nullptr; }
  [[nodiscard]] SSL* tls() const noexcept { return tls_.get(); }
  Io shake_hands();
  Moved read(std::span<std::byte> out);
  /// As much of the pieces, in their order, as is taken at once.
  Moved write(std::span<const Piece> pieces);
  /// Whether something has been read from the socket that read() has not given yet.
  [[nodiscard]] bool pending() const noexcept { return secure() && SSL_has_pending(tls_.get()) == 1; }
  /// Reads the socket's bytes, whatever they are, for nobody.
  Io discard(std::span<std::byte> scratch) noexcept;
  /// Says that nothing more will come.
  void say_goodbye() noexcept;

 private:
  Io outcome(int result) noexcept;

  Descriptor socket_;
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, SSL_free};
};

}  // namespace verge::http
