#include "engine_measurement.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace verge::processing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUpRuns = 3;
constexpr int kMostRuns = 31;
constexpr auto kLongestMeasurement = std::chrono::milliseconds(500);
constexpr auto kThroughputTime = std::chrono::milliseconds(400);

Result<void> give_rows(Worker& worker, std::int64_t rows) {
  const auto inputs = worker.model().inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    auto shape = inputs[i].shape;
    if (!shape.empty() && shape.front() < 0) shape.front() = rows;
    std::ranges::replace_if(
        shape, [](std::int64_t size) { return size < 0; }, 1);
    VERGE_TRY(worker.input(i, shape));
  }
  return {};
}

}  // namespace

Result<double> median_ms(Worker& worker) {
  for (int i = 0; i < kWarmUpRuns; ++i) {
    if (auto run = worker.infer(); !run) return std::move(run).error();
  }
  std::vector<double> times;
  const auto end = Clock::now() + kLongestMeasurement;
  while (static_cast<int>(times.size()) < kMostRuns && (times.size() < 3 || Clock::now() < end)) {
    if (auto run = worker.infer(); !run) return std::move(run).error();
    times.push_back(static_cast<double>(worker.times().infer_ns) / 1e6);
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

Result<double> rows_per_second(const LoadedModel& model, unsigned workers, std::int64_t batch_rows) {
  std::vector<Worker> all;
  for (unsigned i = 0; i < workers; ++i) {
    VERGE_ASSIGN(auto worker, model.create_worker());
    VERGE_TRY(give_rows(worker, batch_rows));
    VERGE_TRY(worker.infer());  // The first run is slower.
    all.push_back(std::move(worker));
  }
  std::atomic<std::int64_t> runs{0};
  std::mutex mutex;
  std::optional<Error> failed;
  const auto start = Clock::now();
  const auto end = start + kThroughputTime;
  {
    std::vector<std::jthread> threads;
    threads.reserve(all.size());
    for (auto& worker : all) {
      threads.emplace_back([&] {
        do {
          if (auto run = worker.infer(); !run) {
            const std::lock_guard lock(mutex);
            failed = std::move(run).error();
            return;
          }
          ++runs;
        } while (Clock::now() < end);
      });
    }
  }
  if (failed) return std::move(*failed);
  const double took_s = std::chrono::duration<double>(Clock::now() - start).count();
  return static_cast<double>(runs * batch_rows) / took_s;
}

}  // namespace verge::processing
