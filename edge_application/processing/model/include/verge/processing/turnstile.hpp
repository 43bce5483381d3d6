// Turnstile: lets in only so much at a time; who waits goes by urgency.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace verge::processing {

/// How long a request may wait for its turn, and who goes first.
struct Urgency {
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  int priority = 0;  ///< A higher one goes first; equal ones by their deadlines, then as they came.
};

/// A counting semaphore whose line is ordered, and in which nobody overtakes the first: one that needs much is not kept
/// waiting by many that need little. Thread-safe; allocates nothing.
class Turnstile {
 public:
  /// `capacity`: units that may be inside. `max_waiting`: more are turned away at once.
  Turnstile(unsigned capacity, std::size_t max_waiting) : capacity_(capacity), free_(capacity), limit_(max_waiting) {}

  enum class Entry : std::uint8_t {
    entered,
    full,     ///< Too many wait.
    late,     ///< The deadline has passed.
    stopped,  ///< `stop` was requested.
  };
  /// Takes `amount` units (at most the capacity), waiting for them. Every entry needs a leave(). With a `stop` that can
  /// be requested the deadline only orders the line, and the line has no limit: the caller is its own back-pressure.
  Entry enter(unsigned amount, const Urgency& urgency, const std::stop_token& stop = {});
  void leave(unsigned amount) noexcept;

  [[nodiscard]] unsigned capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Waiter {
    const Urgency& urgency;
    unsigned amount;
    std::condition_variable changed{};
    bool admitted = false;
    Waiter* next = nullptr;
  };
  static bool goes_before(const Waiter& a, const Waiter& b) noexcept;
  void join(Waiter& waiter) noexcept;
  void leave_line(const Waiter& waiter) noexcept;
  void admit() noexcept;

  const unsigned capacity_;
  mutable std::mutex mutex_;
  unsigned free_;
  const std::size_t limit_;
  Waiter* first_ = nullptr;
  std::size_t waiting_ = 0;
};

}  // namespace verge::processing
