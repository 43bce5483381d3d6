#include "waiting_room.hpp"

#include <algorithm>
#include <utility>

namespace verge::hub {

std::uint64_t WaitingRoom::wait(const std::string& device, std::int64_t until_ms, Waiter waiter) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      waiters_[device].push_back({next_, until_ms, std::move(waiter)});
      return next_++;
    }
  }
  waiter(Reason::closed);
  return 0;
}

bool WaitingRoom::take_back(const std::string& device, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = waiters_.find(device);
  if (found == waiters_.end()) return false;
  const bool there = std::erase_if(found->second, [&](const Entry& entry) { return entry.number == number; }) > 0;
  if (found->second.empty()) waiters_.erase(found);
  return there;
}

void WaitingRoom::wake(const std::string& device) {
  std::vector<Entry> woken;
  {
    const std::lock_guard lock(mutex_);
    const auto found = waiters_.find(device);
    if (found == waiters_.end()) return;
    woken = std::move(found->second);
    waiters_.erase(found);
  }
  for (const auto& entry : woken) entry.waiter(Reason::changed);
}

void WaitingRoom::expire(std::int64_t now_ms) {
  std::vector<Entry> over;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [device, entries] : waiters_) {
      const auto first =
          std::partition(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.until_ms > now_ms; });
      std::move(first, entries.end(), std::back_inserter(over));
      entries.erase(first, entries.end());
    }
    std::erase_if(waiters_, [](const auto& item) { return item.second.empty(); });
  }
  for (const auto& entry : over) entry.waiter(Reason::expired);
}

void WaitingRoom::close() {
  std::map<std::string, std::vector<Entry>> all;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    all.swap(waiters_);
  }
  for (const auto& [device, entries] : all) {
    for (const auto& entry : entries) entry.waiter(Reason::closed);
  }
}

}  // namespace verge::hub
