// Waiting room: held requests for a device's desired state.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace verge::hub {

/// Thread-safe. Each waiter is called once, without a lock held: by wake(), by expire(), or by close().
class WaitingRoom {
 public:
  enum class Reason { changed, expired, closed };
  using Waiter = std::function<void(Reason)>;

  /// A number to take the waiter back by. After close() the waiter is called at once.
  std::uint64_t wait(const std::string& device, std::int64_t until_ms, Waiter waiter);
  /// True when the waiter was still there; it is not called then.
  bool take_back(const std::string& device, std::uint64_t number);
  void wake(const std::string& device);
  void expire(std::int64_t now_ms);
  void close();

 private:
  struct Entry {
    std::uint64_t number = 0;
    std::int64_t until_ms = 0;
    Waiter waiter;
  };
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  bool closed_ = false;
  std::map<std::string, std::vector<Entry>> waiters_;
};

}  // namespace verge::hub
