#include "verge/inference_api/model_repository.hpp"

#include <algorithm>
#include <vector>

#include <vector>

#include <fmt/format.h>

#include "verge/base/text.hpp"

namespace verge::inference_api {

void Tally::observe(const processing::StageTimes& times) noexcept {
  const auto at = observed_.fetch_add(1, std::memory_order_relaxed);
  infer_ns_[at % infer_ns_.size()].store(times.infer_ns, std::memory_order_relaxed);
}

void Tally::count(bool failed) noexcept {
  requests_.fetch_add(1, std::memory_order_relaxed);
  if (failed) failed_.fetch_add(1, std::memory_order_relaxed);
}

Tally::Counts Tally::counts() const {
  Counts counts;
  counts.requests = requests_.load(std::memory_order_relaxed);
  counts.failed = failed_.load(std::memory_order_relaxed);
  const auto filled = std::min<std::uint64_t>(observed_.load(std::memory_order_relaxed), infer_ns_.size());
  if (filled == 0) return counts;
  std::vector<std::int64_t> times(filled);
  for (std::size_t i = 0; i < filled; ++i) times[i] = infer_ns_[i].load(std::memory_order_relaxed);
  std::ranges::sort(times);
  counts.p50_ms = static_cast<double>(times[(filled - 1) / 2]) / 1e6;
  counts.p99_ms = static_cast<double>(times[(filled - 1) * 99 / 100]) / 1e6;
  return counts;
}

void ModelRepository::replace(Models models) {
  auto next = std::make_shared<const Models>(std::move(models));
  const std::lock_guard lock(mutex_);
  models_.swap(next);
}

std::shared_ptr<const ModelRepository::Models> ModelRepository::models() const {
  const std::lock_guard lock(mutex_);
  return models_ != nullptr ? models_ : std::make_shared<const Models>();
}

bool ModelRepository::ready() const {
  const std::lock_guard lock(mutex_);
  return models_ != nullptr;
}

Result<std::shared_ptr<ServedModel>> ModelRepository::find(std::string_view name, std::string_view version) const {
  const auto current = models();
  const auto found = current->find(name);
  if (found == current->end()) {
    if (!ready()) {
      return Error(ErrorCode::unavailable, "VRG-API-003", "the models are still being loaded; try again in a moment");
    }
    std::vector<std::string_view> names;
    for (const auto& [known, model] : *current) names.push_back(known);
    const auto meant = nearest(name, names);
    return Error(ErrorCode::not_found, "VRG-API-001",
                 fmt::format("no model is called '{}'{}; there {}", name,
                             meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant),
                             names.empty() ? "are none" : "is " + one_of(names)));
  }
  if (!version.empty() && version != found->second->version()) {
    return Error(ErrorCode::not_found, "VRG-API-002",
                 fmt::format("model '{}' is served in version {}, not {}", name, found->second->version(), version));
  }
  return found->second;
}

}  // namespace verge::inference_api
