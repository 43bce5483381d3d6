#include "configured_models.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "verge/package/image_layout.hpp"

namespace verge::agent {
namespace {

/// Packages name themselves where the configuration does not.
std::string name_of(const ModelOrder& order) {
  if (order.entry.name) return *order.entry.name;
  const auto scratch = TemporaryFolder::create("verge-name-");
  if (!scratch) return {};
  const auto package = package::open(order.entry.package, scratch->path());
  return package ? package->metadata.name : std::string();
}

}  // namespace

Result<void> ConfiguredModels::replace(std::vector<ModelOrder> orders, std::vector<wire::PipelineEntry> pipelines,
                                       bool lenient) {
  const std::lock_guard change(changing_);
  VERGE_TRY(serving_.replace("", orders, pipelines, lenient));
  const std::lock_guard lock(mutex_);
  orders_ = std::move(orders);
  pipelines_ = std::move(pipelines);
  unloaded_.clear();
  return {};
}

Result<void> ConfiguredModels::renew(std::vector<ModelOrder> orders, bool lenient) {
  const std::lock_guard change(changing_);
  VERGE_TRY(serving_.replace("", without_unloaded(orders, unloaded_), pipelines_, lenient));
  const std::lock_guard lock(mutex_);
  orders_ = std::move(orders);
  return {};
}

std::vector<ModelOrder> ConfiguredModels::without_unloaded(const std::vector<ModelOrder>& orders,
                                                           const std::set<std::string>& unloaded) {
  std::vector<ModelOrder> loaded;
  std::ranges::copy_if(orders, std::back_inserter(loaded),
                       [&](const ModelOrder& order) { return !unloaded.contains(name_of(order)); });
  return loaded;
}

void ConfiguredModels::allow(bool allowed) {
  const std::lock_guard lock(mutex_);
  allowed_ = allowed;
}

Result<void> ConfiguredModels::check_allowed() const {
  const std::lock_guard lock(mutex_);
  if (allowed_) return {};
  return Error(ErrorCode::failed_precondition, "VRG-API-041",
               "models are not loaded and unloaded by this API here; set 'api: { model_control: true }' in the agent's "
               "configuration to allow it");
}

Result<std::size_t> ConfiguredModels::find(const std::string& name) const {
  for (std::size_t i = 0; i < orders_.size(); ++i) {
    if (name_of(orders_[i]) == name) return i;
  }
  VERGE_TRY(serving_.repository().find(name, ""));
  return Error(ErrorCode::failed_precondition, "VRG-API-042",
               fmt::format("the model '{}' belongs to an application of the hub; deploy another version there, or end "
                           "the application's deployment",
                           name));
}

Result<void> ConfiguredModels::serve(const std::set<std::string>& without) {
  VERGE_TRY(serving_.replace("", without_unloaded(orders_, without), pipelines_));
  const std::lock_guard lock(mutex_);
  unloaded_ = without;
  return {};
}

Result<void> ConfiguredModels::load(const std::string& name) {
  VERGE_TRY(check_allowed());
  const std::lock_guard change(changing_);
  VERGE_TRY(find(name));
  auto without = unloaded_;
  without.erase(name);
  return serve(without);
}

Result<void> ConfiguredModels::unload(const std::string& name) {
  VERGE_TRY(check_allowed());
  const std::lock_guard change(changing_);
  VERGE_TRY(find(name));
  auto without = unloaded_;
  without.insert(name);
  return serve(without);
}

std::vector<std::string> ConfiguredModels::unloaded() const {
  const std::lock_guard lock(mutex_);
  return {unloaded_.begin(), unloaded_.end()};
}

}  // namespace verge::agent
