// Listener: a socket that clients come to.
#pragma once

#include <filesystem>
#include <string>

#include "channel.hpp"
#include "verge/base/error.hpp"

namespace verge::http {

class Listener {
 public:
  Listener() = default;
  ~Listener();
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) noexcept = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// Errors: invalid_argument (VRG-HTT-001), unavailable (VRG-HTT-002).
  static Result<Listener> tcp(const std::string& address, std::uint16_t port);
  /// Replaces what a program that has ended left behind. Errors: unavailable (VRG-HTT-002).
  static Result<Listener> unix_socket(const std::filesystem::path& path);

  struct Client {
    Descriptor socket;  ///< Invalid: none is waiting, with errno.
    std::string address;
  };
  [[nodiscard]] Client accept() const;
  [[nodiscard]] int number() const noexcept { return socket_.number(); }
  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] bool is_unix() const noexcept { return !path_.empty(); }
  /// Turns all away from now on, from any thread.
  void shut() const noexcept;

 private:
  Descriptor socket_;
  std::filesystem::path path_;  ///< Removed at the end.
};

}  // namespace verge::http
