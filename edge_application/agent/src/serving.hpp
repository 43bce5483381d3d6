// Serving: the models and pipelines that run on this device, in groups that are replaced as one.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model_order.hpp"
#include "pipeline_thread.hpp"
#include "verge/base/file.hpp"
#include "verge/base/log.hpp"
#include "verge/inference_api/model_repository.hpp"
#include "verge/processing/engine.hpp"
#include "verge/telemetry/metrics.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Thread-safe. A group is the configuration's own models (named "") or an application.
class Serving {
 public:
  using Served = std::shared_ptr<inference_api::ServedModel>;

  Serving(Log& log, telemetry::Metrics& metrics);
  ~Serving();
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  /// Makes the scratch folder. Errors: unavailable.
  Result<void> open();
  void set(ServingOptions options);

  /// Loads what changed, keeps what did not, then switches: requests under way end on the model that they found. With
  /// `lenient`, a model that does not load is logged and left out; else the error leaves everything as it was
  /// (VRG-AGT-001 two models of one name, 004 the package is another than expected, 009 the models' budgets are more
  /// than there is, and those of loading).
  Result<void> replace(const std::string& group, const std::vector<ModelOrder>& orders,
                       const std::vector<wire::PipelineEntry>& pipelines, bool lenient = false);
  /// Ends the group.
  void end(const std::string& group);
  /// Ends all pipelines.
  void stop();

  /// The group's models, in the order they were asked for.
  [[nodiscard]] std::vector<Served> models(const std::string& group) const;
  /// All of them.
  [[nodiscard]] std::vector<Served> models() const;
  /// What is served and not given up, as orders that name the packages' unpacked folders.
  [[nodiscard]] std::vector<ModelOrder> orders() const;
  /// Whether a model runs in a process of its own, which may be given up at any time.
  [[nodiscard]] bool isolates() const;
  [[nodiscard]] std::vector<std::shared_ptr<PipelineThread>> pipelines() const;
  /// Null: there is none of this name.
  [[nodiscard]] std::shared_ptr<PipelineThread> pipeline(std::string_view name) const;
  [[nodiscard]] const inference_api::ModelRepository& repository() const noexcept { return repository_; }
  [[nodiscard]] ServingOptions options() const;

 private:
  struct Entry {
    Served model;
    std::string fingerprint;
    wire::ModelEntry order;
  };
  struct Group {
    std::vector<Entry> entries;
    std::vector<wire::PipelineEntry> pipelines;
  };
  Result<Entry> load(const ModelOrder& order, const Group* present, const Group& next);
  Result<void> check_memory(const package::ModelPackage& package, const Group& next) const;
  Result<void> check_name(const std::string& group, const Group& next, const std::string& name) const;
  void switch_groups();
  void renew_pipelines();
  Result<void> check_models(const wire::PipelineEntry& entry) const;
  void keep_pipelines(std::vector<std::shared_ptr<PipelineThread>> kept);
  void log_loaded(const inference_api::ServedModel& model, double took_ms);

  Log& log_;
  telemetry::Metrics& metrics_;
  processing::EngineCatalogue engines_;
  inference_api::ModelRepository repository_;
  std::optional<TemporaryFolder> scratch_;
  mutable std::mutex mutex_;
  ServingOptions options_;
  std::shared_ptr<processing::Turnstile> thread_budget_;
  std::shared_ptr<inference_api::SlowRequests> slow_requests_ = std::make_shared<inference_api::SlowRequests>(log_);
  std::map<std::string, Group> groups_;
  mutable std::mutex pipelines_mutex_;  ///< Of the list only: a change of models may take long.
  std::vector<std::shared_ptr<PipelineThread>> pipelines_;
};

}  // namespace verge::agent
