// Deployments as people see them: states, counts, and one time line of what happened.
#include <algorithm>

#include <fmt/format.h>

#include "deploying.hpp"

namespace verge::hub {
namespace {

wire::DeploymentState state_of(const std::map<std::string, std::int64_t>& counts) {
  bool open = false;
  bool waiting = false;
  bool unwell = false;
  for (const auto& [state, count] : counts) {
    if (count == 0) continue;
    if (state == "waiting") {
      waiting = true;
    } else if (!has_ended(state)) {
      open = true;
    } else if (state != "committed" && state != "superseded") {
      unwell = true;
    }
  }
  if (open) return wire::DeploymentState::running;
  if (waiting) return wire::DeploymentState::waiting;
  return unwell ? wire::DeploymentState::failed : wire::DeploymentState::done;
}

std::optional<wire::UpdateReport> update_of(const DeploymentDeviceRecord& row) {
  if (row.update.empty()) return std::nullopt;
  return read_own<wire::UpdateReport>(row.update, wire::read_update_report);
}

wire::DeploymentDeviceState device_state(const std::string& text) {
  return wire::to_deployment_device_state(text).value_or(wire::DeploymentDeviceState::waiting);
}

wire::ExplanationEntry entry(std::int64_t at_ms, wire::ExplanationSource source, std::string text,
                             std::optional<wire::DeploymentDeviceState> state) {
  wire::ExplanationEntry made;
  made.at_ms = std::max<std::int64_t>(at_ms, 0);
  made.source = source;
  made.state = state;
  made.text = std::move(text);
  return made;
}

std::string asked(const DeploymentRecord& deployment, const DeploymentDeviceRecord& row) {
  const auto before = row.before_version.empty() ? std::string("nothing") : row.before_version;
  const auto what = row.version.empty() ? fmt::format("to end {}", deployment.application)
                                        : fmt::format("for {} {}", deployment.application, row.version);
  return fmt::format("{} asked {} on '{}'{}; the device has {}", deployment.created_by, what, deployment.selector,
                     deployment.rolls_back.empty() ? "" : ", taking back " + deployment.rolls_back, before);
}

std::vector<wire::ExplanationEntry> hub_entries(const DeploymentRecord& deployment, const DeploymentDeviceRecord& row) {
  using Source = wire::ExplanationSource;
  std::vector<wire::ExplanationEntry> entries{
      entry(deployment.created_ms, Source::hub, asked(deployment, row), std::nullopt)};
  if (row.offered_ms > 0) {
    entries.push_back(entry(row.offered_ms, Source::hub, "the device's desired state was changed",
                            wire::DeploymentDeviceState::pending));
  }
  if (row.state == "waiting" || row.state == "skipped" || row.state == "superseded") {
    entries.push_back(entry(row.changed_ms, Source::hub, row.reason, device_state(row.state)));
  }
  return entries;
}

std::string end_text(const DeploymentDeviceRecord& row, const wire::UpdateReport& update) {
  std::string text = fmt::format("reported {}", row.state);
  // The reason's words are the device's own, one line above, and below the time line.
  if (!row.reason_id.empty()) text += fmt::format(" [{}]", row.reason_id);
  if (update.bytes_total) {
    text += fmt::format("; {} bytes, of these {} fetched and {} there already", *update.bytes_total,
                        update.bytes_fetched.value_or(0), update.bytes_reused.value_or(0));
  }
  return text;
}

}  // namespace

std::string deployment_id(std::int64_t number) {
  return number == 0 ? std::string() : fmt::format("d-{}", number);
}

Result<DeploymentRecord> find_deployment(Transaction& store, const std::string& id) {
  std::int64_t number = 0;
  const bool shaped = id.starts_with("d-") && id.size() > 2 && id.size() < 18 &&
                      std::all_of(id.begin() + 2, id.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (shaped) number = std::stoll(id.substr(2));
  const auto found = store.deployment(number);
  if (!found) return unknown("deployment", id);
  return *found;
}

wire::DeploymentSummary summary_of(Transaction& store, const DeploymentRecord& deployment) {
  wire::DeploymentSummary summary;
  summary.deployment = deployment_id(deployment.number);
  summary.kind = wire::to_deployment_kind(deployment.kind).value_or(wire::DeploymentKind::deploy);
  summary.application = deployment.application;
  if (!deployment.version.empty()) summary.version = deployment.version;
  if (!deployment.digest.empty()) summary.digest = deployment.digest;
  summary.selector = deployment.selector;
  if (!deployment.watch.empty()) {
    summary.watch = read_own<wire::WatchPolicy>(deployment.watch, wire::read_watch_policy);
  }
  summary.created_ms = deployment.created_ms;
  summary.created_by = deployment.created_by;
  if (!deployment.rolls_back.empty()) summary.rolls_back = deployment.rolls_back;
  summary.counts = store.deployment_counts(deployment.number);
  summary.state = state_of(summary.counts);
  return summary;
}

wire::DeploymentDevice status_of(const DeploymentDeviceRecord& row) {
  wire::DeploymentDevice status;
  status.device = row.device;
  status.state = device_state(row.state);
  if (!row.reason.empty()) {
    status.reason.emplace();
    status.reason->id = row.reason_id;
    status.reason->message = row.reason;
  }
  if (!row.version.empty()) status.version = row.version;
  if (!row.before_version.empty()) status.before = row.before_version;
  status.changed_ms = row.changed_ms;
  if (const auto update = update_of(row)) {
    status.bytes_total = update->bytes_total;
    status.bytes_reused = update->bytes_reused;
    status.bytes_fetched = update->bytes_fetched;
    status.numbers = update->numbers;
  }
  return status;
}

wire::DeploymentDetail detail_of(Transaction& store, const DeploymentRecord& deployment) {
  wire::DeploymentDetail detail;
  detail.summary = summary_of(store, deployment);
  for (const auto& row : store.deployment_devices(deployment.number)) detail.devices.push_back(status_of(row));
  return detail;
}

Result<wire::DeploymentList> Hub::deployments(const Principal& caller, const std::string& application,
                                              std::int64_t limit) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::DeploymentList>([&](Transaction& store) -> Result<wire::DeploymentList> {
    wire::DeploymentList list;
    for (const auto& deployment : store.deployments(application, limit)) {
      list.deployments.push_back(summary_of(store, deployment));
    }
    return list;
  });
}

Result<wire::DeploymentDetail> Hub::deployment(const Principal& caller, const std::string& id) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::DeploymentDetail>([&](Transaction& store) -> Result<wire::DeploymentDetail> {
    VERGE_ASSIGN(const auto deployment, find_deployment(store, id));
    return detail_of(store, deployment);
  });
}

Result<wire::DeploymentExplanation> Hub::explain(const Principal& caller, const std::string& id,
                                                 const std::string& device) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::DeploymentExplanation>([&](Transaction& store) -> Result<wire::DeploymentExplanation> {
    VERGE_ASSIGN(const auto deployment, find_deployment(store, id));
    const auto row = store.deployment_device(deployment.number, device);
    if (!row) return unknown("device in " + id, device);
    wire::DeploymentExplanation explanation;
    explanation.deployment = id;
    explanation.application = deployment.application;
    explanation.status = status_of(*row);
    explanation.timeline = hub_entries(deployment, *row);
    if (const auto update = update_of(*row)) {
      for (const auto& step : update->timeline) {
        const auto state = wire::to_deployment_device_state(wire::name(step.state));
        explanation.timeline.push_back(
            entry(step.at_ms - row->clock_ahead_ms, wire::ExplanationSource::device, step.text, state));
      }
      explanation.timeline.push_back(
          entry(row->changed_ms, wire::ExplanationSource::hub, end_text(*row, *update), device_state(row->state)));
    }
    std::ranges::stable_sort(explanation.timeline, {}, &wire::ExplanationEntry::at_ms);
    return explanation;
  });
}

}  // namespace verge::hub
