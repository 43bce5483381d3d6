// Worker pool: the workers of one model, lent to one caller at a time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing {

/// Thread-safe. Must outlive its leases.
class WorkerPool {
 public:
  /// Makes all workers at once, so that nothing is slow later.
  static Result<std::unique_ptr<WorkerPool>> create(std::shared_ptr<const LoadedModel> model, std::size_t workers,
                                                    std::size_t max_waiting);

  /// A worker that goes back by itself.
  class Lease {
   public:
    Lease(Lease&& other) noexcept : pool_(other.pool_), worker_(other.worker_) { other.worker_ = nullptr; }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (worker_ != nullptr) pool_->give_back(worker_);
    }
    Worker& operator*() const noexcept { return *worker_; }
    Worker* operator->() const noexcept { return worker_; }

   private:
    friend class WorkerPool;
    Lease(WorkerPool* pool, Worker* worker) : pool_(pool), worker_(worker) {}
    WorkerPool* pool_;
    Worker* worker_;
  };

  /// Waits for a free worker. Errors: unavailable (VRG-MDL-006) when too many wait already, deadline_exceeded
  /// (VRG-MDL-007).
  Result<Lease> acquire(std::chrono::milliseconds timeout);
  /// For a caller that is its own back-pressure, such as a pipeline: waits as long as it takes. Errors: cancelled
  /// (VRG-MDL-008) once `stop` is requested.
  Result<Lease> acquire(const std::stop_token& stop);
  [[nodiscard]] const LoadedModel& model() const noexcept { return *model_; }

 private:
  WorkerPool(std::shared_ptr<const LoadedModel> model, std::size_t max_waiting)
      : model_(std::move(model)), max_waiting_(max_waiting) {}
  void give_back(Worker* worker) noexcept;

  std::shared_ptr<const LoadedModel> model_;
  std::vector<Worker> workers_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Worker*> free_;
  std::size_t waiting_ = 0;
  std::size_t max_waiting_;
};

}  // namespace verge::processing
