// Model repository: the models that are served, replaced as a whole.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/inference_api/slow_requests.hpp"
#include "verge/inference_api/statistics.hpp"
#include "verge/processing/worker_pool.hpp"
#include "verge/telemetry/metrics.hpp"

namespace verge::inference_api {

/// What a model has done since it was loaded: an update is judged by it. Thread-safe; allocates nothing.
class Tally {
 public:
  void observe(const processing::StageTimes& times) noexcept;
  void count(bool failed) noexcept;

  struct Counts {
    std::int64_t requests = 0;
    std::int64_t failed = 0;
    double p50_ms = 0;  ///< Of the last 1024 inferences.
    double p99_ms = 0;
  };
  [[nodiscard]] Counts counts() const;

 private:
  std::atomic<std::int64_t> requests_{0};
  std::atomic<std::int64_t> failed_{0};
  std::atomic<std::uint64_t> observed_{0};
  std::array<std::atomic<std::int64_t>, 1024> infer_ns_{};
};

/// A model with its workers. Lives until its last request has ended.
struct ServedModel {
  std::string name;  ///< In the API.
  std::unique_ptr<processing::WorkerPool> workers;
  std::shared_ptr<telemetry::ModelMetrics> metrics;
  Tally tally;
  Statistics statistics;                          ///< Of infer requests.
  std::shared_ptr<SlowRequests> slow_requests{};  ///< Null: nobody asks for them.
  /// One sample went through.
  void observe(const processing::StageTimes& times) {
    metrics->observe(times);
    tally.observe(times);
    if (slow_requests != nullptr) slow_requests->observe(name, version(), times);
  }
  /// A request was answered, or a sample of a pipeline went through or failed.
  void count(std::string_view code) {
    metrics->count_request(code);
    tally.count(code != "ok");
  }
  /// Whether it still answers: an isolated one may be given up.
  [[nodiscard]] bool ready() const { return !workers->model().given_up(); }
  [[nodiscard]] const std::string& version() const { return workers->model().package().metadata.version; }
};

/// Thread-safe. A request that has found its model keeps it, whatever is replaced meanwhile.
class ModelRepository {
 public:
  using Models = std::map<std::string, std::shared_ptr<ServedModel>, std::less<>>;

  /// The served models from now on.
  void replace(Models models);
  [[nodiscard]] std::shared_ptr<const Models> models() const;
  /// Errors: not_found (VRG-API-001, names the nearest; 002 another version); unavailable (VRG-API-003) while starting.
  [[nodiscard]] Result<std::shared_ptr<ServedModel>> find(std::string_view name, std::string_view version) const;
  /// Whether replace() has been called: before, models may still be loading.
  [[nodiscard]] bool ready() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Models> models_;
};

}  // namespace verge::inference_api
