// Devices as administrators see them.
#include <algorithm>

#include <fmt/format.h>

#include "core.hpp"
#include "deploying.hpp"
#include "measured.hpp"

namespace verge::hub {
namespace {

constexpr std::int64_t kOfflineAfterMs = 90'000;

wire::DeviceState state_of(Core& core, const DeviceRecord& device, std::int64_t seen_ms) {
  if (device.revoked_ms > 0) return wire::DeviceState::revoked;
  if (!device.conflict.empty()) return wire::DeviceState::conflict;
  if (device.reported_ms == 0) return wire::DeviceState::enrolled;
  return core.now() - seen_ms < kOfflineAfterMs ? wire::DeviceState::online : wire::DeviceState::offline;
}

wire::DeviceApplication& entry(wire::DeviceSummary& summary, const std::string& name) {
  const auto found = std::ranges::find(summary.applications, name, &wire::DeviceApplication::application);
  if (found != summary.applications.end()) return *found;
  summary.applications.emplace_back().application = name;
  return summary.applications.back();
}

wire::DeviceSummary summarise(Core& core, const DeviceRecord& device, const std::vector<DesiredRecord>& desired) {
  const auto report = report_of(device);
  wire::DeviceSummary summary;
  summary.device = device.name;
  const auto seen_ms = std::max(device.reported_ms, core.last_contact(device.name));
  summary.state = state_of(core, device, seen_ms);
  if (seen_ms > 0) summary.seen_ms = seen_ms;
  summary.device_type = report.device.device_type;
  summary.labels = labels_of(device, report);
  summary.agent_version = report.agent_version;
  if (!device.address.empty()) summary.address = device.address;
  for (const auto& reported : report.applications) {
    auto& application = entry(summary, reported.application);
    if (reported.active) application.version = reported.active->version;
    if (reported.previous) application.previous = reported.previous->version;
    if (reported.update) {
      application.state = reported.update->state;
      application.reason = reported.update->reason;
    }
  }
  for (const auto& wanted : desired) {
    auto& application = entry(summary, wanted.application);
    application.wanted = wanted.version;
    application.deployment = wanted.deployment;
  }
  summary.models = report.models;
  for (const auto& model : report.models) {
    if (model.infer_p50_ms) summary.infer_p50_ms = std::max(summary.infer_p50_ms.value_or(0), *model.infer_p50_ms);
  }
  summary.desired_version = device.desired_version;
  summary.seen_desired_version = report.desired_version;
  if (!device.conflict.empty()) summary.conflict = device.conflict;
  return summary;
}

Result<DeviceRecord> find_device(Transaction& store, const std::string& name) {
  const auto device = store.device(name);
  if (!device) return unknown("device", name);
  return *device;
}

wire::DeviceDetail detail(Core& core, Transaction& store, const DeviceRecord& device) {
  wire::DeviceDetail detail;
  detail.summary = summarise(core, device, store.desired(device.name));
  detail.summary.measured = verdict_of(core, MeasuredRules(store), device, store.measured(device.name));
  detail.joined_ms = device.joined_ms;
  detail.certificate_until_ms = device.certificate_until_ms;
  detail.hub_labels = hub_labels_of(device);
  if (!device.report.empty()) detail.report = report_of(device);
  if (device.reported_ms > 0) detail.reported_ms = device.reported_ms;
  detail.desired = desired_of(store, device);
  return detail;
}

}  // namespace

Result<wire::DeviceList> Hub::devices(const Principal& caller, const std::string& selector) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::DeviceList>([&](Transaction& store) -> Result<wire::DeviceList> {
    std::map<std::string, std::vector<DesiredRecord>> desired;
    for (auto& record : store.all_desired()) desired[record.device].push_back(std::move(record));
    std::map<std::string, MeasuredRecord> measured;
    for (auto& record : store.all_measured()) measured.emplace(record.device, std::move(record));
    const MeasuredRules rules(store);
    wire::DeviceList list;
    auto devices = store.devices();
    if (!selector.empty()) {
      VERGE_ASSIGN(devices, select_devices(store, selector));
    }
    for (const auto& device : devices) {
      auto& summary = list.devices.emplace_back(summarise(*core_, device, desired[device.name]));
      const auto shown = measured.find(device.name);
      summary.measured =
          verdict_of(*core_, rules, device, shown == measured.end() ? std::nullopt : std::optional(shown->second));
    }
    return list;
  });
}

Result<wire::DeviceDetail> Hub::device(const Principal& caller, const std::string& name) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::DeviceDetail>([&](Transaction& store) -> Result<wire::DeviceDetail> {
    VERGE_ASSIGN(const auto device, find_device(store, name));
    return detail(*core_, store, device);
  });
}

Result<void> Hub::revoke(const Principal& caller, const std::string& name) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  return core_->change_only([&](Change& change) -> Result<void> {
    VERGE_ASSIGN(auto device, find_device(change.store, name));
    if (device.revoked_ms > 0) return {};
    device.revoked_ms = core_->now();
    device.conflict.clear();
    change.store.put(device);
    for (const auto& wanted : change.store.desired(name)) change.store.remove_desired(name, wanted.application);
    for (auto& open : change.store.open_deployments(name)) {
      open.state = "skipped";
      open.reason_id = "VRG-HUB-017";
      open.reason = fmt::format("{} skipped: it was revoked", name);
      open.changed_ms = core_->now();
      change.store.put(open);
    }
    change.store.raise_desired_version(name);
    change.devices.insert(name);
    core_->event(change.store, caller, "device.revoke", name);
    return {};
  });
}

Result<wire::DeviceDetail> Hub::set_labels(const Principal& caller, const std::string& name,
                                           const wire::DeviceLabels& labels) {
  VERGE_TRY(check_right(caller, wire::Right::deploy));
  if (labels.labels.contains("name")) {
    return Error(
        ErrorCode::invalid_argument, "VRG-HUB-008",
        fmt::format("expected labels without 'name', which is always the device's own name '{}'; choose another "
                    "key",
                    name));
  }
  return core_->change<wire::DeviceDetail>([&](Change& change) -> Result<wire::DeviceDetail> {
    VERGE_ASSIGN(auto device, find_device(change.store, name));
    device.labels = wire::write_json_line(wire::to_node(labels));
    change.store.put(device);
    core_->event(change.store, caller, "device.labels", name, device.labels);
    return detail(*core_, change.store, device);
  });
}

Result<wire::DeviceDetail> Hub::resolve(const Principal& caller, const std::string& name) {
  VERGE_TRY(check_right(caller, wire::Right::administer));
  return core_->change<wire::DeviceDetail>([&](Change& change) -> Result<wire::DeviceDetail> {
    VERGE_ASSIGN(auto device, find_device(change.store, name));
    if (device.conflict.empty()) {
      return Error(ErrorCode::failed_precondition, "VRG-HUB-009",
                   fmt::format("'{}' is used by one machine only: there is nothing to resolve", name));
    }
    device.conflict.clear();
    device.accept_next = 1;
    change.store.put(device);
    change.devices.insert(name);
    core_->event(change.store, caller, "device.resolve", name, "whoever reports next is the device");
    return detail(*core_, change.store, device);
  });
}

}  // namespace verge::hub
