// Child starter: starts children that are to end with this process, whoever asks for them.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "verge/process/child.hpp"

namespace verge::process {

/// A child that calls end_with_parent() ends with the thread that started it, and threads that serve requests come and
/// go: this one stays until its owner ends. Thread-safe.
class ChildStarter {
 public:
  ChildStarter();
  ~ChildStarter();
  ChildStarter(const ChildStarter&) = delete;
  ChildStarter& operator=(const ChildStarter&) = delete;

  /// As Child::start(). The child ends with this object when it ends with its parent.
  Result<Child> start(const Program& program);

 private:
  void work();

  std::mutex callers_;  ///< One at a time.
  std::mutex mutex_;
  std::condition_variable changed_;
  const Program* order_ = nullptr;
  std::optional<Result<Child>> outcome_;
  bool stops_ = false;
  std::thread thread_;
};

}  // namespace verge::process
