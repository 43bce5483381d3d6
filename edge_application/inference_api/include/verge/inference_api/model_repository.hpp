// Model repository: the models that are served, replaced as a whole.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/processing/worker_pool.hpp"
#include "verge/telemetry/metrics.hpp"

namespace verge::inference_api {

/// A model with its workers. Lives until its last request has ended.
struct ServedModel {
  std::string name;  ///< In the API.
  std::unique_ptr<processing::WorkerPool> workers;
  std::shared_ptr<telemetry::ModelMetrics> metrics;
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
