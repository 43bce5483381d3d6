// Listener: a socket that clients come to. It can outlive the program that made it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verge/base/descriptor.hpp"
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

  /// Takes over one of `kept` that listens there. Errors: invalid_argument (VRG-HTT-001), unavailable (VRG-HTT-002).
  static Result<Listener> tcp(const std::string& address, std::uint16_t port, const std::vector<int>& kept);
  /// The same; replaces what a program that has ended left behind. Errors: unavailable (VRG-HTT-002).
  static Result<Listener> unix_socket(const std::filesystem::path& path, const std::vector<int>& kept);

  struct Client {
    Descriptor socket;  ///< Invalid: none is waiting, with errno.
    std::string address;
  };
  [[nodiscard]] Client accept() const;
  [[nodiscard]] int number() const noexcept { return socket_.number(); }
  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] bool is_unix() const noexcept { return !path_.empty(); }
  /// Turns all away from now on, from any thread; nothing happens when it is kept.
  void shut() const noexcept;
  /// It outlives this object, with its path.
  void set_kept() noexcept { kept_ = true; }
  [[nodiscard]] bool is_kept() const noexcept { return kept_; }

 private:
  Descriptor socket_;
  std::filesystem::path path_;  ///< Removed at the end, unless kept.
  bool kept_ = false;
};

}  // namespace verge::http
