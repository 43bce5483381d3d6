// Child: a process of our own, watched until it has ended.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "verge/base/descriptor.hpp"
#include "verge/base/error.hpp"

namespace verge::process {

/// What to run.
struct Program {
  std::filesystem::path executable;
  std::vector<std::string> arguments;  ///< Without the program's own name.
  /// Ours, and the number that the child knows it by: 3, 4, … without a gap, or 1 for its output. Nothing else is
  /// passed on but standard input, output and error.
  std::vector<std::pair<int, int>> descriptors{};
  /// "NAME=value" each; absent: ours.
  std::optional<std::vector<std::string>> environment{};
};

/// How a process ended.
struct Ending {
  int signal = 0;  ///< 0: it ended by itself, with `exit_status`.
  int exit_status = 0;

  /// "ended by signal 11 (Segmentation fault)", "ended with status 3".
  [[nodiscard]] std::string text() const;
};

/// Used by one thread at a time. Ends with this object: no child outlives its owner. One that must not outlive our
/// whole process calls end_with_parent() first.
class Child {
 public:
  /// Errors: unavailable (VRG-PRC-001), with the system's reason.
  static Result<Child> start(const Program& program);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t id() const noexcept { return id_; }
  /// Waits at most `patience`. Absent: it runs still.
  std::optional<Ending> wait(std::chrono::milliseconds patience);
  /// Ends it at once (SIGKILL) and waits for its end.
  Ending kill();
  /// Memory that it keeps, in bytes; 0 when it has ended.
  [[nodiscard]] std::uint64_t resident_bytes() const;

 private:
  Child(pid_t id, Descriptor handle) noexcept : id_(id), handle_(std::move(handle)) {}
  void reap() noexcept;

  pid_t id_ = 0;
  Descriptor handle_;  ///< A pidfd: readable once it has ended.
  std::optional<Ending> ending_;
};

/// For the child, first thing: it is killed when the thread that started it, or its whole process, has gone.
void end_with_parent();

}  // namespace verge::process
