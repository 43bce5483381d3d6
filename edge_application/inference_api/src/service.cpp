#include "verge/inference_api/service.hpp"

namespace verge::inference_api {
namespace {

constexpr const char* kGivenUp = "its process ended too often";

Error no_control() {
  return Error(ErrorCode::failed_precondition, "VRG-API-041",
               "models are not loaded and unloaded by this API here; set 'api: { model_control: true }' in the agent's "
               "configuration to allow it");
}

}  // namespace

std::vector<IndexEntry> Service::index(bool only_ready) const {
  std::vector<IndexEntry> entries;
  const auto served = models_.models();
  for (const auto& [name, model] : *served) {
    const bool ready = model->ready();
    if (ready || !only_ready) {
      entries.push_back({name, model->version(), ready ? "READY" : "UNAVAILABLE", ready ? "" : kGivenUp});
    }
  }
  if (only_ready || control_ == nullptr) return entries;
  for (auto& name : control_->unloaded()) entries.push_back({std::move(name), "", "UNAVAILABLE", "unloaded"});
  return entries;
}

Result<void> Service::load(const std::string& name) const {
  return control_ == nullptr ? Result<void>(no_control()) : control_->load(name);
}

Result<void> Service::unload(const std::string& name) const {
  return control_ == nullptr ? Result<void>(no_control()) : control_->unload(name);
}

Result<std::vector<std::shared_ptr<ServedModel>>> Service::served(std::string_view name,
                                                                  std::string_view version) const {
  std::vector<std::shared_ptr<ServedModel>> models;
  if (name.empty()) {
    const auto all = models_.models();
    for (const auto& [known, model] : *all) models.push_back(model);
    return models;
  }
  VERGE_ASSIGN(auto found, models_.find(name, version));
  models.push_back(std::move(found));
  return models;
}

std::string platform_of(const ServedModel& model) {
  const auto& loaded = model.workers->model();
  return loaded.choice().engine + "_" + std::string(wire::name(loaded.package().metadata.model.format));
}

std::int64_t largest_batch(const ServedModel& model) {
  const auto rows = model.workers->options().batching.max_rows;
  return rows > 1 ? rows : 0;
}

std::span<const std::int64_t> config_dimensions(const processing::TensorSpec& spec, bool batched) {
  const std::span<const std::int64_t> shape(spec.shape);
  return batched && !shape.empty() ? shape.subspan(1) : shape;
}

}  // namespace verge::inference_api
