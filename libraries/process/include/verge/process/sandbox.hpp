// Sandbox: what a process that runs foreign code may still do.
//
// The kernel is the barrier: Landlock for files (and TCP), seccomp for system calls, limits for memory and files, user
// and network namespaces where the system gives them. Needs Linux 5.13 with Landlock; later ones add to it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/descriptor.hpp"
#include "verge/base/error.hpp"

namespace verge::process {

/// What is left to a process.
struct Confinement {
  /// Files, and folders with all that is in them, that it may read; nothing else, and nothing may be written. What does
  /// not exist is left out.
  std::vector<std::filesystem::path> readable;
  std::uint64_t memory_bytes = 0;  ///< Private memory, its program's own included; 0: no limit.
  /// Takes what the system has where a part is missing, in place of an error.
  bool lenient = false;
};

/// What this system lacks to confine a process, in words: "Landlock (Linux 5.13, and 'landlock' in the kernel's list of
/// security modules)"; empty when it has all.
[[nodiscard]] std::string sandbox_lacks();

/// Confines this process, and whatever it becomes, for good. It must have one thread. Also gives up all capabilities
/// and core dumps, runs only when nobody else wants the processor (SCHED_IDLE), and ends with the thread that started
/// it, as end_with_parent() does. What a forbidden call waits for is told by the descriptor, which SandboxWatch takes
/// in the process that watches; empty only when `lenient`. Errors: failed_precondition (VRG-PRC-004) with the part that
/// is missing.
Result<Descriptor> confine(const Confinement& confinement);

/// The side that watches. A forbidden call waits here, undone, until its process is ended. Used by one thread at a
/// time.
class SandboxWatch {
 public:
  static constexpr int kThreadLimit = 16;  ///< Beside the first one.

  SandboxWatch() = default;
  explicit SandboxWatch(Descriptor reports) : reports_(std::move(reports)) {}
  /// Readable when look() has something to look at; -1 without a sandbox.
  [[nodiscard]] int descriptor() const noexcept { return reports_.number(); }
  /// Lets pass what is allowed: becoming another program once, and kThreadLimit threads. Else what it did, in words
  /// ("called socket(), which opens a way to the network"): end the process.
  std::optional<std::string> look();

 private:
  Descriptor reports_;
  bool has_become_ = false;
  int threads_ = 0;
};

}  // namespace verge::process
