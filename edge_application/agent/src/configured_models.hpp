// Configured models: which of the configuration's models serve, as the API's load and unload change it.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "serving.hpp"
#include "verge/inference_api/service.hpp"

namespace verge::agent {

/// Thread-safe. Changes nothing unless it has been allowed.
class ConfiguredModels final : public inference_api::ModelControl {
 public:
  explicit ConfiguredModels(Serving& serving) : serving_(serving) {}

  /// Serves these from now on, all of them. Errors: those of Serving::replace().
  Result<void> replace(std::vector<ModelOrder> orders, std::vector<wire::PipelineEntry> pipelines, bool lenient);
  /// The same models and pipelines with other packages; what was unloaded stays so. Errors: those of replace().
  Result<void> renew(std::vector<ModelOrder> orders, bool lenient);
  void allow(bool allowed);

  Result<void> load(const std::string& name) override;
  Result<void> unload(const std::string& name) override;
  [[nodiscard]] std::vector<std::string> unloaded() const override;

 private:
  Result<void> check_allowed() const;
  /// The order of the model that is called so. Errors: not_found, failed_precondition.
  Result<std::size_t> find(const std::string& name) const;
  Result<void> serve(const std::set<std::string>& without);
  [[nodiscard]] static std::vector<ModelOrder> without_unloaded(const std::vector<ModelOrder>& orders,
                                                                const std::set<std::string>& unloaded);

  Serving& serving_;
  std::mutex changing_;       ///< One change at a time; it may take long.
  mutable std::mutex mutex_;  ///< For what follows.
  bool allowed_ = false;
  std::vector<ModelOrder> orders_;
  std::vector<wire::PipelineEntry> pipelines_;
  std::set<std::string> unloaded_;  ///< Names in the API.
};

}  // namespace verge::agent
