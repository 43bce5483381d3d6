#include "verge/processing/worker_pool.hpp"

#include <fmt/format.h>

#include "batches.hpp"

namespace verge::processing {
namespace {

/// What orders a pipeline among requests: as if it had the patience that a request has.
constexpr std::chrono::seconds kPipelinePatience{30};
/// Weight of the newest run in the average, as a divisor.
constexpr std::int64_t kMemory = 8;

}  // namespace

WorkerPool::WorkerPool(std::shared_ptr<const LoadedModel> model, const PoolOptions& options)
    : model_(std::move(model)), options_(options), line_(static_cast<unsigned>(options.workers), options.max_waiting) {}
WorkerPool::~WorkerPool() = default;

Result<std::unique_ptr<WorkerPool>> WorkerPool::create(std::shared_ptr<const LoadedModel> model,
                                                       const PoolOptions& options) {
  PoolOptions whole = options;
  whole.workers = std::max<std::size_t>(options.workers, 1);
  std::unique_ptr<WorkerPool> pool(new WorkerPool(std::move(model), whole));
  pool->workers_.reserve(whole.workers);
  pool->free_.reserve(whole.workers);
  for (std::size_t i = 0; i < whole.workers; ++i) {
    VERGE_ASSIGN(auto worker, pool->model_->create_worker());
    if (pool->model_->has_custom_steps()) worker.use_threads(whole.thread_budget, whole.threads_per_run);
    pool->workers_.push_back(std::move(worker));
  }
  for (auto& worker : pool->workers_) pool->free_.push_back(&worker);
  if (whole.batching.max_rows > 1 && Batches::possible(*pool->model_)) {
    pool->batches_ = std::make_unique<Batches>(*pool);
  }
  return pool;
}

Error WorkerPool::refusal(Turnstile::Entry entry) const {
  const auto& name = model_->package().metadata.name;
  switch (entry) {
    case Turnstile::Entry::full:
      return {
          ErrorCode::unavailable, "VRG-MDL-006",
          fmt::format("model '{}' is overloaded: {} requests wait already; try again later", name, line_.waiting())};
    case Turnstile::Entry::late:
      return {ErrorCode::deadline_exceeded, "VRG-MDL-007",
              fmt::format("model '{}' had no free worker before the request's deadline; try again later", name)};
    default: return {ErrorCode::cancelled, "VRG-MDL-008", "stopped while waiting for a free worker"};
  }
}

Result<WorkerPool::Lease> WorkerPool::enter(const Urgency& urgency, const std::stop_token& stop) {
  if (const auto entry = line_.enter(1, urgency, stop); entry != Turnstile::Entry::entered) return refusal(entry);
  const bool takes_its_own = model_->has_custom_steps();
  if (options_.thread_budget != nullptr && !takes_its_own) {
    const auto entry = options_.thread_budget->enter(options_.threads_per_run, urgency, stop);
    if (entry != Turnstile::Entry::entered) {
      line_.leave(1);
      return refusal(entry);
    }
  }
  const std::lock_guard lock(mutex_);
  Worker* worker = free_.back();
  free_.pop_back();
  if (takes_its_own) worker->set_urgency(urgency, stop);
  return Lease(this, worker, !takes_its_own);
}

Result<WorkerPool::Lease> WorkerPool::acquire(const Urgency& urgency) {
  const Urgency own{urgency.deadline, urgency.priority + options_.priority};
  if (own.deadline != std::chrono::steady_clock::time_point::max()) {
    // Who would wait in vain is told at once, and may try elsewhere. One that goes before others is not held back.
    const auto ahead = static_cast<std::int64_t>(line_.waiting() / line_.capacity());
    const std::chrono::nanoseconds expected(ahead * typical_ns_.load(std::memory_order_relaxed));
    const auto left = own.deadline - std::chrono::steady_clock::now();
    if (ahead > 0 && own.priority <= options_.priority && expected > left) {
      return Error(ErrorCode::unavailable, "VRG-MDL-006",
                   fmt::format("model '{}' is overloaded: a wait of some {} ms is expected, the deadline is in {} ms; "
                               "try again later",
                               model_->package().metadata.name, expected.count() / 1'000'000,
                               std::max<std::int64_t>(left.count(), 0) / 1'000'000));
    }
  }
  return enter(own, {});
}

Result<WorkerPool::Lease> WorkerPool::acquire(const std::stop_token& stop, int priority) {
  return enter({std::chrono::steady_clock::now() + kPipelinePatience, priority + options_.priority}, stop);
}

void WorkerPool::release_threads(Lease& lease) noexcept {
  if (!lease.has_threads_) return;
  lease.has_threads_ = false;
  if (options_.thread_budget != nullptr) options_.thread_budget->leave(options_.threads_per_run);
}

void WorkerPool::give_back(Lease& lease) noexcept {
  release_threads(lease);
  const auto lent = std::chrono::nanoseconds(std::chrono::steady_clock::now() - lease.since_).count();
  const auto before = typical_ns_.load(std::memory_order_relaxed);
  typical_ns_.store(before == 0 ? lent : before + (lent - before) / kMemory, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(lease.worker_);  // Never past the capacity that create() reserved.
  }
  line_.leave(1);
}

}  // namespace verge::processing
