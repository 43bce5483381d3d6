// Watched files: certificates and tokens that are read again when they change, without a thread that waits for it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <string>
#include <vector>

namespace verge::agent {

/// Tells whether files are others than at the last look. Thread-safe; looks at most twice a second.
class WatchedFiles {
 public:
  explicit WatchedFiles(std::vector<std::string> paths);
  /// Cheap: may be asked with every request.
  bool changed();

 private:
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t file = 0;
    std::int64_t size = -1;
    std::int64_t seconds = 0;
    std::int64_t nanoseconds = 0;
    bool operator==(const Stamp&) const = default;
  };
  [[nodiscard]] std::vector<Stamp> look() const;

  const std::vector<std::string> paths_;
  std::mutex mutex_;
  std::vector<Stamp> seen_;
  std::chrono::steady_clock::time_point next_look_;
};

}  // namespace verge::agent
