#include "model_order.hpp"

#include <chrono>

namespace verge::agent {
namespace {

/// What piles up while a next version is loaded beside this one is not refused: at a hundred requests a second, some
/// thirty. More would need more threads, and each that is ever used keeps its stack.
constexpr std::size_t kMaxWaiting = 32;
/// What a process of its own needs beside its model.
constexpr std::uint64_t kProcessBytes = std::uint64_t{96} << 20U;

processing::IsolationOptions isolation(const wire::Isolation& asked, const wire::Metadata& metadata) {
  processing::IsolationOptions options;
  options.max_restarts = static_cast<std::size_t>(asked.max_restarts);
  options.restart_window = std::chrono::seconds(asked.restart_window_s);
  options.run_timeout = std::chrono::milliseconds(asked.run_timeout_ms);
  const auto budget = metadata.budget.value_or(wire::Budget{}).memory_bytes;
  if (asked.max_memory_bytes) {
    options.max_memory_bytes = static_cast<std::uint64_t>(*asked.max_memory_bytes);
  } else if (budget) {
    options.max_memory_bytes = static_cast<std::uint64_t>(*budget) + kProcessBytes;
  }
  return options;
}

}  // namespace

ModelOrder order_of(const wire::ApplicationModel& model, std::string package, std::string digest) {
  ModelOrder order;
  order.digest = std::move(digest);
  wire::ModelEntry& entry = order.entry;
  entry.package = std::move(package);
  entry.name = model.name.value_or(model.model);
  entry.engine = model.engine;
  entry.threads = model.threads;
  entry.workers = model.workers;
  entry.optimise_for = model.optimise_for;
  entry.priority = model.priority;
  entry.batching = model.batching;
  entry.isolation = model.isolation;
  return order;
}

processing::LoadOptions load_options(const wire::ModelEntry& entry, const wire::Metadata& metadata,
                                     const ServingOptions& options) {
  processing::LoadOptions load;
  if (entry.engine) load.engine = wire::name(*entry.engine);
  load.threads = static_cast<unsigned>(entry.threads.value_or(0));
  load.available_threads = options.threads;
  load.max_workers = static_cast<unsigned>(entry.workers.value_or(0));
  if (entry.optimise_for) {
    load.goal = *entry.optimise_for == wire::Goal::latency ? processing::Goal::latency : processing::Goal::throughput;
  }
  load.batch_rows = entry.batching ? entry.batching->max_rows : 0;
  load.state_directory = options.state_directory;
  load.keep_compiled = options.keep_compiled;
  load.image_limits.max_pixels = options.max_image_pixels;
  const auto& wanted = entry.isolation ? entry.isolation : options.isolation;
  if (wanted) load.isolation = isolation(*wanted, metadata);
  load.custom_steps.forbidden = options.custom_steps.forbidden;
  load.custom_steps.allow_without_sandbox = options.custom_steps.allow_without_sandbox;
  load.custom_steps.python = options.custom_steps.python;
  return load;
}

processing::PoolOptions pool_options(const wire::ModelEntry& entry, const processing::Settings& settings,
                                     std::shared_ptr<processing::Turnstile> thread_budget) {
  processing::PoolOptions pool;
  pool.workers = settings.workers;
  pool.max_waiting = kMaxWaiting;
  pool.threads_per_run = settings.threads > 0 ? settings.threads : thread_budget->capacity();
  pool.thread_budget = std::move(thread_budget);
  pool.priority = static_cast<int>(entry.priority);
  pool.batching.max_rows = settings.batch_rows;
  if (entry.batching) {
    const std::chrono::duration<double, std::milli> delay(entry.batching->max_delay_ms);
    pool.batching.max_delay = std::chrono::duration_cast<std::chrono::microseconds>(delay);
  }
  return pool;
}

}  // namespace verge::agent
