// Deployments, rollbacks, removals, freezing: what people ask for.
#include <algorithm>

#include <fmt/format.h>

#include "deploying.hpp"

namespace verge::hub {
namespace {

/// Takes the deployment back on one device: to what it had before.
Wish wish_before(Transaction& store, const DeploymentDeviceRecord& row, const DeviceRecord& device) {
  Wish wish{device, row.before_version, row.before_target, row.before_digest, "", ""};
  for (const auto& later : store.deployments(row.application, 1000)) {
    if (later.number <= row.number) break;
    const auto on_device = store.deployment_device(later.number, row.device);
    if (!on_device || on_device->offered_ms == 0) continue;
    wish.skip_id = "VRG-HUB-034";
    wish.skip =
        fmt::format("{} came after {}; roll that one back", deployment_id(later.number), deployment_id(row.number));
    return wish;
  }
  if (!wish.version.empty() && !store.version_by_digest(row.application, wish.digest)) {
    wish.skip_id = "VRG-HUB-035";
    wish.skip = fmt::format("{} {}, which it had before, is no longer on this hub", row.application, wish.version);
  }
  return wish;
}

/// How a version is watched that the device has committed before: not again.
constexpr const char* kUnwatched = R"({"duration_s":0})";

void check_wish_floor(Transaction& store, const std::string& application, Wish& wish) {
  if (wish.version.empty() || !wish.skip.empty()) return;
  const auto version = store.version_by_digest(application, wish.digest);
  if (!version) return;
  const auto allowed = check_floors(store, *version);
  if (allowed) return;
  wish.skip_id = allowed.error().id();
  wish.skip = allowed.error().message();
}

Wish wish_previous(Transaction& store, const std::string& application, const DeviceRecord& device) {
  Wish wish{device, "", "", "", "", ""};
  const auto reported = reported_application(report_of(device), application);
  if (!reported || !reported->previous) {
    wish.skip_id = "VRG-HUB-036";
    wish.skip = fmt::format("it reports no previous version of {}", application);
    return wish;
  }
  const auto version = store.version_by_digest(application, reported->previous->digest);
  wish.version = reported->previous->version;
  wish.digest = reported->previous->digest;
  if (!version) {
    wish.skip_id = "VRG-HUB-035";
    wish.skip = fmt::format("{} {}, which it had before, is no longer on this hub", application, wish.version);
    return wish;
  }
  wish.target = target_path(*version);
  check_wish_floor(store, application, wish);
  return wish;
}

Wish wish_removal(Transaction& store, const std::string& application, const DeviceRecord& device) {
  Wish wish{device, "", "", "", "", ""};
  const auto wanted = store.desired(device.name);
  const auto reported = reported_application(report_of(device), application);
  const bool has = std::ranges::find(wanted, application, &DesiredRecord::application) != wanted.end() ||
                   (reported && reported->active);
  if (!has) {
    wish.skip_id = "VRG-HUB-037";
    wish.skip = fmt::format("it does not have {}", application);
  }
  return wish;
}

Result<wire::DeploymentDetail> ask_selection(Core& core, const Principal& caller,
                                             const wire::ApplicationSelection& request, const std::string& kind,
                                             Wish (*wish)(Transaction&, const std::string&, const DeviceRecord&)) {
  VERGE_TRY(check_right(caller, wire::Right::deploy));
  return core.change<wire::DeploymentDetail>([&](Change& change) -> Result<wire::DeploymentDetail> {
    VERGE_ASSIGN(const auto devices, select_devices(change.store, request.selector));
    std::vector<Wish> wishes;
    std::set<std::string> versions;
    for (const auto& device : devices) {
      wishes.push_back(wish(change.store, request.application, device));
      if (wishes.back().skip.empty()) versions.insert(wishes.back().version);
    }
    if (versions.empty()) {
      return Error(ErrorCode::failed_precondition, "VRG-HUB-038",
                   fmt::format("nothing to do: {}", fmt::format("{} cannot be changed: {}", wishes.front().device.name,
                                                                wishes.front().skip)));
    }
    DeploymentRecord deployment;
    deployment.kind = kind;
    if (kind == "rollback") deployment.watch = kUnwatched;
    deployment.application = request.application;
    deployment.selector = request.selector;
    deployment.created_by = caller.who();
    if (versions.size() == 1) deployment.version = *versions.begin();
    VERGE_ASSIGN(auto detail, record_deployment(core, change, deployment, wishes, request.dry_run));
    if (!request.dry_run) {
      core.event(change.store, caller, kind + ".create", detail.summary.deployment,
                 fmt::format("{} on {}", request.application, request.selector));
    }
    return detail;
  });
}

}  // namespace

Result<wire::DeploymentDetail> Hub::deploy(const Principal& caller, const wire::DeploymentRequest& request) {
  VERGE_TRY(check_right(caller, wire::Right::deploy));
  return core_->change<wire::DeploymentDetail>(
      [&](Change& change) { return deploy_in(*core_, change, caller, request); });
}

Result<wire::DeploymentDetail> Hub::rollback_deployment(const Principal& caller, const std::string& id) {
  VERGE_TRY(check_right(caller, wire::Right::deploy));
  return core_->change<wire::DeploymentDetail>([&](Change& change) -> Result<wire::DeploymentDetail> {
    VERGE_ASSIGN(const auto taken_back, find_deployment(change.store, id));
    std::vector<Wish> wishes;
    std::set<std::string> versions;
    bool stopped = false;
    for (auto& row : change.store.deployment_devices(taken_back.number)) {
      const auto device = change.store.device(row.device);
      if (!device || device->revoked_ms > 0 || row.state == "skipped") continue;
      if (row.state == "waiting") {  // It has changed nothing yet, and will not.
        row.state = "superseded";
        row.reason_id = "VRG-HUB-031";
        row.reason = "was taken back before it began";
        row.changed_ms = core_->now();
        change.store.put(row);
        stopped = true;
        continue;
      }
      auto wish = wish_before(change.store, row, *device);
      check_wish_floor(change.store, row.application, wish);
      if (wish.skip.empty()) versions.insert(wish.version);
      wishes.push_back(std::move(wish));
    }
    if (versions.empty() && !stopped) {
      return Error(ErrorCode::failed_precondition, "VRG-HUB-038",
                   fmt::format("nothing to do: {} changed no device that could go back{}", id,
                               wishes.empty() ? "" : ": " + wishes.front().device.name + ": " + wishes.front().skip));
    }
    DeploymentRecord deployment;
    deployment.kind = "rollback";
    deployment.watch = kUnwatched;
    deployment.application = taken_back.application;
    deployment.selector = taken_back.selector;
    deployment.rolls_back = id;
    deployment.created_by = caller.who();
    if (versions.size() == 1) deployment.version = *versions.begin();
    VERGE_ASSIGN(auto detail, record_deployment(*core_, change, deployment, wishes, false));
    core_->event(change.store, caller, "rollback.create", detail.summary.deployment, "takes back " + id);
    return detail;
  });
}

Result<wire::DeploymentDetail> Hub::rollback(const Principal& caller, const wire::ApplicationSelection& request) {
  return ask_selection(*core_, caller, request, "rollback", wish_previous);
}

Result<wire::DeploymentDetail> Hub::remove(const Principal& caller, const wire::ApplicationSelection& request) {
  return ask_selection(*core_, caller, request, "removal", wish_removal);
}

Result<wire::FleetFreeze> Hub::freeze(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::FleetFreeze>([&](Transaction& store) -> Result<wire::FleetFreeze> {
    return read_own<wire::FleetFreeze>(store.setting("freeze"), wire::read_fleet_freeze);
  });
}

Result<wire::FleetFreeze> Hub::set_freeze(const Principal& caller, const wire::FleetFreeze& wanted) {
  VERGE_TRY(check_right(caller, wire::Right::deploy));
  return core_->change<wire::FleetFreeze>([&](Change& change) -> Result<wire::FleetFreeze> {
    wire::FleetFreeze made;
    made.frozen = wanted.frozen;
    made.reason = wanted.reason;
    made.since_ms = core_->now();
    made.by = caller.who();
    const bool differs = frozen(change.store) != wanted.frozen;
    change.store.set_setting("freeze", wire::write_json_line(wire::to_node(made)));
    core_->event(change.store, caller, wanted.frozen ? "fleet.freeze" : "fleet.unfreeze", "fleet",
                 wanted.reason.value_or(""));
    if (!differs) return made;
    for (const auto& device : change.store.devices()) {
      if (device.revoked_ms > 0) continue;
      change.store.raise_desired_version(device.name);
      change.devices.insert(device.name);
    }
    if (!wanted.frozen) release_waiting(*core_, change, "");
    return made;
  });
}

}  // namespace verge::hub
