#include "verge/processing/worker_pool.hpp"

#include <fmt/format.h>

namespace verge::processing {

Result<std::unique_ptr<WorkerPool>> WorkerPool::create(std::shared_ptr<const LoadedModel> model, std::size_t workers,
                                                       std::size_t max_waiting) {
  std::unique_ptr<WorkerPool> pool(new WorkerPool(std::move(model), max_waiting));
  pool->workers_.reserve(workers);
  pool->free_.reserve(workers);
  for (std::size_t i = 0; i < workers; ++i) {
    VERGE_ASSIGN(Worker worker, pool->model_->create_worker());
    pool->workers_.push_back(std::move(worker));
  }
  for (auto& worker : pool->workers_) pool->free_.push_back(&worker);
  return pool;
}

Result<WorkerPool::Lease> WorkerPool::acquire(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  if (free_.empty()) {
    if (waiting_ >= max_waiting_) {
      return Error(ErrorCode::unavailable, "VRG-MDL-006",
                   fmt::format("model '{}' is overloaded: {} requests wait already; try again later",
                               model_->package().metadata.name, waiting_));
    }
    ++waiting_;
    const bool free = changed_.wait_for(lock, timeout, [this] { return !free_.empty(); });
    --waiting_;
    if (!free) {
      return Error(ErrorCode::deadline_exceeded, "VRG-MDL-007",
                   fmt::format("model '{}' had no free worker for {} ms; try again later",
                               model_->package().metadata.name, timeout.count()));
    }
  }
  Worker* worker = free_.back();
  free_.pop_back();
  return Lease(this, worker);
}

Result<WorkerPool::Lease> WorkerPool::acquire(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return !free_.empty(); })) {
    return Error(ErrorCode::cancelled, "VRG-MDL-008", "stopped while waiting for a free worker");
  }
  Worker* worker = free_.back();
  free_.pop_back();
  return Lease(this, worker);
}

void WorkerPool::give_back(Worker* worker) noexcept {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(worker);  // Never past the capacity that create() reserved.
  }
  changed_.notify_one();
}

}  // namespace verge::processing
