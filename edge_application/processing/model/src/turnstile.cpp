#include "verge/processing/turnstile.hpp"

#include <algorithm>

namespace verge::processing {

bool Turnstile::goes_before(const Waiter& a, const Waiter& b) noexcept {
  if (a.urgency.priority != b.urgency.priority) return a.urgency.priority > b.urgency.priority;
  return a.urgency.deadline < b.urgency.deadline;
}

void Turnstile::join(Waiter& waiter) noexcept {
  Waiter** at = &first_;
  while (*at != nullptr && !goes_before(waiter, **at)) at = &(*at)->next;
  waiter.next = *at;
  *at = &waiter;
  ++waiting_;
}

void Turnstile::leave_line(const Waiter& waiter) noexcept {
  Waiter** at = &first_;
  while (*at != &waiter) at = &(*at)->next;
  *at = waiter.next;
  --waiting_;
}

void Turnstile::admit() noexcept {
  while (first_ != nullptr && first_->amount <= free_) {
    Waiter& waiter = *first_;
    free_ -= waiter.amount;
    leave_line(waiter);
    waiter.admitted = true;
    waiter.changed.notify_one();
  }
}

Turnstile::Entry Turnstile::enter(unsigned amount, const Urgency& urgency, const std::stop_token& stop) {
  amount = std::min(amount, capacity_);
  std::unique_lock lock(mutex_);
  if (first_ == nullptr && amount <= free_) {
    free_ -= amount;
    return Entry::entered;
  }
  if (!stop.stop_possible() && waiting_ >= limit_) return Entry::full;
  Waiter waiter{urgency, amount};
  join(waiter);
  admit();
  if (stop.stop_possible()) {
    lock.unlock();  // The callback may run at once, in this thread.
    const std::stop_callback wake(stop, [&] {
      const std::lock_guard locked(mutex_);
      waiter.changed.notify_one();
    });
    lock.lock();
    waiter.changed.wait(lock, [&] { return waiter.admitted || stop.stop_requested(); });
    lock.unlock();  // Before the callback's end, which waits for one that runs.
  } else {
    waiter.changed.wait_until(lock, urgency.deadline, [&] { return waiter.admitted; });
    lock.unlock();
  }
  lock.lock();
  if (waiter.admitted) return Entry::entered;
  leave_line(waiter);
  admit();  // Those behind may need less.
  return stop.stop_possible() ? Entry::stopped : Entry::late;
}

void Turnstile::leave(unsigned amount) noexcept {
  const std::lock_guard lock(mutex_);
  free_ += std::min(amount, capacity_);
  admit();
}

std::size_t Turnstile::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

}  // namespace verge::processing
