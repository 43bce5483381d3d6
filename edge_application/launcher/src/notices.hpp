// Notices: what the agent tells, by systemd's protocol (sd_notify(3)).
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "verge/base/descriptor.hpp"
#include "verge/base/error.hpp"

namespace verge::launcher {

/// The socket that they come to, and the descriptors that were given to be kept. Used by one thread.
class Notices {
 public:
  /// Errors: unavailable (VRG-LCH-002).
  static Result<Notices> open();

  /// For NOTIFY_SOCKET.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] int number() const noexcept { return socket_.number(); }
  /// By name.
  [[nodiscard]] const std::map<std::string, Descriptor>& kept() const noexcept { return kept_; }

  struct News {
    bool ready = false;
    bool alive = false;
  };
  /// All that has come from the process `from`; what others sent is thrown away.
  News take(pid_t from);

 private:
  Descriptor socket_;
  std::string name_;
  std::map<std::string, Descriptor> kept_;
};

}  // namespace verge::launcher
