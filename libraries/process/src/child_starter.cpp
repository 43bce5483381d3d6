#include "verge/process/child_starter.hpp"

#include <utility>

namespace verge::process {

ChildStarter::ChildStarter() : thread_([this] { work(); }) {}

ChildStarter::~ChildStarter() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<Child> ChildStarter::start(const Program& program) {
  const std::lock_guard one(callers_);
  std::unique_lock lock(mutex_);
  order_ = &program;
  changed_.notify_all();
  changed_.wait(lock, [this] { return outcome_.has_value(); });
  Result<Child> started = std::move(*outcome_);
  outcome_.reset();
  return started;
}

void ChildStarter::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stops_ || order_ != nullptr; });
    if (stops_) return;
    outcome_.emplace(Child::start(*std::exchange(order_, nullptr)));
    changed_.notify_all();
  }
}

}  // namespace verge::process
