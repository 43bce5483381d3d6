#include "watch.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace verge::update {
namespace {

Error too_slow(const LiveModel& live, std::string_view expected) {
  return Error(
      ErrorCode::failed_precondition, "VRG-UPD-012",
      fmt::format("model '{}' on live traffic: expected an inference of at most {}, got {:.3f} ms (median of {} "
                  "requests); the version before is back",
                  live.model, expected, live.p50_ms, live.requests));
}

Result<void> judge_model(const LiveModel& live, const wire::Metadata& metadata, const wire::WatchPolicy& policy,
                         const Baseline& before) {
  if (!live.given_up.empty()) {
    return Error(ErrorCode::failed_precondition, "VRG-UPD-017",
                 fmt::format("model '{}' on live traffic: {}; the version before is back", live.model, live.given_up));
  }
  if (live.requests < std::max<std::int64_t>(policy.min_requests, 1)) return {};
  const auto old = before.find(live.model);
  const double old_ratio = old == before.end() ? 0 : old->second.error_ratio;
  const double ratio = static_cast<double>(live.failed) / static_cast<double>(live.requests);
  if (ratio > old_ratio + policy.max_error_ratio) {
    return Error(
        ErrorCode::failed_precondition, "VRG-UPD-011",
        fmt::format("model '{}' on live traffic: expected at most {:.3g} % of requests to fail, got {:.3g} % ({} "
                    "of {}); the version before is back",
                    live.model, (old_ratio + policy.max_error_ratio) * 100, ratio * 100, live.failed, live.requests));
  }
  const auto budget = metadata.budget.value_or(wire::Budget{});
  if (budget.latency_ms && live.p50_ms > *budget.latency_ms) {
    return too_slow(live, fmt::format("{} ms (its budget)", *budget.latency_ms));
  }
  if (policy.max_latency_ratio > 0 && old != before.end() && old->second.p50_ms > 0 &&
      live.p50_ms > old->second.p50_ms * policy.max_latency_ratio) {
    return too_slow(
        live, fmt::format("{:.3f} ms ({} × {:.3f} ms of the version before)",
                          old->second.p50_ms * policy.max_latency_ratio, policy.max_latency_ratio, old->second.p50_ms));
  }
  return {};
}

}  // namespace

Baseline baseline_of(const std::vector<LiveModel>& models) {
  Baseline baseline;
  for (const auto& live : models) {
    auto& model = baseline[live.model];
    if (live.requests == 0) continue;
    model.p50_ms = live.p50_ms;
    model.error_ratio = static_cast<double>(live.failed) / static_cast<double>(live.requests);
  }
  return baseline;
}

Result<void> judge_live(const VerifiedApplication& application, const std::vector<LiveModel>& models,
                        const wire::WatchPolicy& policy, const Baseline& before,
                        std::map<std::string, double>& numbers) {
  if (!application.is_agent() && models.size() != application.packages().size()) {
    return Error(ErrorCode::failed_precondition, "VRG-UPD-010",
                 fmt::format("expected {} models to be served, got {}; the version before is back",
                             application.packages().size(), models.size()));
  }
  double requests = 0;
  double failed = 0;
  double p50 = 0;
  Result<void> judged;
  for (std::size_t i = 0; i < models.size(); ++i) {
    requests += static_cast<double>(models[i].requests);
    failed += static_cast<double>(models[i].failed);
    p50 = std::max(p50, models[i].p50_ms);
    const auto& metadata = application.is_agent() ? wire::Metadata{} : application.packages()[i].metadata;
    if (judged) judged = judge_model(models[i], metadata, policy, before);
  }
  numbers["watched_requests"] = requests;
  numbers["watched_failed"] = failed;
  numbers["watched_p50_ms"] = p50;
  return judged;
}

Result<void> judge_served(const std::vector<LiveModel>& models, const Baseline& before) {
  for (const auto& [name, model] : before) {
    if (std::ranges::find(models, name, &LiveModel::model) != models.end()) continue;
    return Error(ErrorCode::failed_precondition, "VRG-UPD-010",
                 fmt::format("expected model '{}' to be served, as by the agent before, got none of this name; the "
                             "agent before is back",
                             name));
  }
  return {};
}

}  // namespace verge::update
