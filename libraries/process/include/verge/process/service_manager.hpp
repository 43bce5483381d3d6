// Service manager: who started this program and looks after it, by systemd's protocol, which verge-launcher speaks too.
//
// NOTIFY_SOCKET takes states ("READY=1", "WATCHDOG=1", "FDSTORE=1"); LISTEN_FDS and LISTEN_PID tell of descriptors that
// were kept over a restart; WATCHDOG_USEC asks for signs of life. https://systemd.io: sd_notify(3), sd_listen_fds(3).
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/descriptor.hpp"

namespace verge::process {

/// First of the descriptors that are handed over.
inline constexpr int kFirstHandedOver = 3;
inline constexpr std::size_t kHandedOverLimit = 64;

/// A descriptor that was kept over a restart.
struct KeptDescriptor {
  Descriptor descriptor;
  std::string name;  ///< That keep() was given. Empty: whoever kept it does not tell.
};

/// Used by one thread at a time, but for notify() and keep().
class ServiceManager {
 public:
  /// Nobody: nothing is told.
  ServiceManager() = default;
  /// Takes what the environment says, and takes it away: no child takes it for its own. Before any thread starts.
  static ServiceManager from_environment();

  [[nodiscard]] bool is_there() const noexcept { return !socket_.empty(); }
  /// Of verge-launcher: the digest of the release that it started, empty for the agent of the system. Of nobody else.
  [[nodiscard]] bool is_launcher() const noexcept { return launcher_; }
  [[nodiscard]] const std::string& release() const noexcept { return release_; }
  /// How often a sign of life is due at least; zero: never.
  [[nodiscard]] std::chrono::milliseconds watchdog() const noexcept { return watchdog_; }
  /// Listening sockets that were kept; none after the first call.
  [[nodiscard]] std::vector<KeptDescriptor> take_kept() noexcept { return std::exchange(kept_, {}); }

  /// Tells a state, such as "READY=1". What nobody takes is lost. Thread-safe.
  void notify(std::string_view state) const noexcept;
  /// Has a descriptor kept over a restart, under a name without ':'. False: nobody keeps it. Thread-safe.
  bool keep(int descriptor, std::string_view name) const noexcept;
  /// What was kept under this name is not needed any more. Thread-safe.
  void forget(std::string_view name) const noexcept;

 private:
  [[nodiscard]] bool send(std::string_view state, int descriptor) const noexcept;

  std::string socket_;
  std::string release_;
  bool launcher_ = false;
  std::chrono::milliseconds watchdog_{0};
  std::vector<KeptDescriptor> kept_;
};

}  // namespace verge::process
