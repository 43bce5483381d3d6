// Worker pool: the workers of one model, lent to one caller at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/loaded_model.hpp"
#include "verge/processing/turnstile.hpp"

namespace verge::processing {

/// Several requests in one run of the model.
struct Batching {
  std::int64_t max_rows = 1;  ///< Of the first dimension; 1: off.
  /// How long the first request of a batch waits for others when a worker is free at once.
  std::chrono::microseconds max_delay{0};
};

struct PoolOptions {
  std::size_t workers = 1;
  std::size_t max_waiting = 0;  ///< Requests that may wait for a worker; more are turned away.
  /// The machine's threads, shared by all pools; a run takes `threads_per_run` of them. Null: no budget.
  std::shared_ptr<Turnstile> thread_budget{};
  unsigned threads_per_run = 1;
  int priority = 0;  ///< Added to that of each request.
  Batching batching{};
};

class Batches;

/// Thread-safe. Must outlive its leases and turns.
class WorkerPool {
 public:
  /// Makes all workers at once, so that nothing is slow later. Batching is off, whatever the options say, for a model
  /// whose tensors do not all have a variable first dimension, and no other.
  static Result<std::unique_ptr<WorkerPool>> create(std::shared_ptr<const LoadedModel> model,
                                                    const PoolOptions& options);
  static Result<std::unique_ptr<WorkerPool>> create(std::shared_ptr<const LoadedModel> model, std::size_t workers,
                                                    std::size_t max_waiting) {
    return create(std::move(model), PoolOptions{.workers = workers, .max_waiting = max_waiting});
  }
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// A worker, and threads of the budget for it to run on, that go back by themselves. A worker of a model with custom
  /// steps takes its threads itself, for what runs here.
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : pool_(other.pool_), worker_(other.worker_), has_threads_(other.has_threads_), since_(other.since_) {
      other.worker_ = nullptr;
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (worker_ != nullptr) pool_->give_back(*this);
    }
    Worker& operator*() const noexcept { return *worker_; }
    Worker* operator->() const noexcept { return worker_; }
    /// Gives the threads back, keeps the worker: for reading what a run has given.
    void release_threads() noexcept { pool_->release_threads(*this); }

   private:
    friend class WorkerPool;
    Lease(WorkerPool* pool, Worker* worker, bool has_threads)
        : pool_(pool), worker_(worker), has_threads_(has_threads) {}
    WorkerPool* pool_;
    Worker* worker_;
    bool has_threads_;
    std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  };

  /// Waits for a free worker. Errors: unavailable (VRG-MDL-006) at once, when too many wait already or the wait would
  /// outlast the deadline by what the last runs took; deadline_exceeded (VRG-MDL-007).
  Result<Lease> acquire(const Urgency& urgency);
  Result<Lease> acquire(std::chrono::milliseconds timeout) {
    return acquire(Urgency{.deadline = std::chrono::steady_clock::now() + timeout});
  }
  /// For a caller that is its own back-pressure, such as a pipeline: waits as long as it takes. Errors: cancelled
  /// (VRG-MDL-008) once `stop` is requested.
  Result<Lease> acquire(const std::stop_token& stop, int priority = 0);

  [[nodiscard]] const LoadedModel& model() const noexcept { return *model_; }
  [[nodiscard]] std::size_t waiting() const { return line_.waiting(); }
  [[nodiscard]] const PoolOptions& options() const noexcept { return options_; }
  /// Null when batching is off.
  [[nodiscard]] Batches* batches() const noexcept { return batches_.get(); }

 private:
  WorkerPool(std::shared_ptr<const LoadedModel> model, const PoolOptions& options);
  Result<Lease> enter(const Urgency& urgency, const std::stop_token& stop);
  void give_back(Lease& lease) noexcept;
  void release_threads(Lease& lease) noexcept;
  [[nodiscard]] Error refusal(Turnstile::Entry entry) const;

  const std::shared_ptr<const LoadedModel> model_;
  const PoolOptions options_;
  std::vector<Worker> workers_;
  Turnstile line_;
  std::mutex mutex_;
  std::vector<Worker*> free_;
  std::atomic<std::int64_t> typical_ns_{0};  ///< How long a worker was lent, averaged over the last runs.
  std::unique_ptr<Batches> batches_;
};

}  // namespace verge::processing
