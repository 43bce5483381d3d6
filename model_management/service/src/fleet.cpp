// A fleet file: the differences between what it says and what is, and how they are made to go.
#include <algorithm>

#include <fmt/format.h>

#include "deploying.hpp"

namespace verge::hub {
namespace {

wire::FleetChange difference(wire::FleetChangeKind kind, std::string subject, std::string text) {
  wire::FleetChange change;
  change.kind = kind;
  change.subject = std::move(subject);
  change.text = std::move(text);
  return change;
}

/// Whether the deployment would change something, or has never been asked for.
Result<bool> differs(Transaction& store, const wire::FleetDeployment& wanted, const VersionRecord& version) {
  VERGE_ASSIGN(const auto devices, select_devices(store, wanted.selector));
  bool asked = false;
  std::set<std::string> settled;  // Devices for which a deployment of it waits.
  for (const auto& earlier : store.deployments(wanted.application, 1000)) {
    if (earlier.kind != "deploy" || earlier.digest != version.digest || earlier.version != version.version) break;
    asked = asked || earlier.selector == wanted.selector;
    for (const auto& row : store.deployment_devices(earlier.number)) {
      if (row.state == "waiting") settled.insert(row.device);
    }
  }
  for (const auto& device : devices) {
    if (settled.contains(device.name)) continue;
    const auto now = store.desired(device.name);
    const auto same = std::ranges::find(now, wanted.application, &DesiredRecord::application);
    if (same != now.end() && same->digest == version.digest) continue;
    if (device.reported_ms > 0 && asked && !check_device_fit(store, version, device)) continue;
    return true;
  }
  return false;
}

struct Applying {
  Core& core;
  Change& change;
  const Principal& caller;
  bool dry_run;
  wire::FleetAnswer answer;

  Result<void> application(const wire::Application& wanted) {
    bool added = false;
    VERGE_ASSIGN(const auto info, put_application(core, change, caller, wanted, added));
    if (!added) return {};
    VERGE_TRY(check_right(caller, wire::Right::publish));
    answer.changes.push_back(difference(wire::FleetChangeKind::application, wanted.name + " " + wanted.version,
                                        fmt::format("new version with {} models", wanted.models.size())));
    return {};
  }

  Result<void> floor(const std::string& name, const std::string& version) {
    const auto floors = change.store.floors();
    const auto now = floors.find(name);
    if (now != floors.end() && now->second == version) return {};
    VERGE_TRY(put_floor(core, change, caller, name, version));
    answer.changes.push_back(
        difference(wire::FleetChangeKind::floor, name,
                   fmt::format("smallest version {} → {}", now == floors.end() ? "none" : now->second, version)));
    return {};
  }

  Result<void> deployment(const wire::FleetDeployment& wanted) {
    VersionRecord version;
    if (wanted.version) {
      const auto found = change.store.version(wanted.application, *wanted.version);
      if (!found) return unknown("version", wanted.application + " " + *wanted.version);
      version = *found;
    } else {
      VERGE_ASSIGN(version, newest_version(change.store, wanted.application));
    }
    VERGE_ASSIGN(const bool needed, differs(change.store, wanted, version));
    if (!needed) return {};
    wire::DeploymentRequest request;
    request.application = wanted.application;
    request.version = version.version;
    request.selector = wanted.selector;
    request.watch = wanted.watch;
    VERGE_ASSIGN(auto made, deploy_in(core, change, caller, request));
    auto one = difference(wire::FleetChangeKind::deployment, wanted.application,
                          fmt::format("{} {} on {}", wanted.application, version.version, wanted.selector));
    if (!dry_run) one.deployment = made.summary.deployment;
    one.devices = std::move(made.devices);
    answer.changes.push_back(std::move(one));
    return {};
  }
};

}  // namespace

Result<wire::FleetAnswer> Hub::apply(const Principal& caller, const wire::Fleet& fleet, bool dry_run) {
  VERGE_TRY(check_right(caller, wire::Right::deploy));
  wire::FleetAnswer judged;
  auto done = core_->change<wire::FleetAnswer>([&](Change& change) -> Result<wire::FleetAnswer> {
    Applying applying{*core_, change, caller, dry_run, {}};
    for (const auto& application : fleet.applications) VERGE_TRY(applying.application(application));
    for (const auto& [name, version] : fleet.floors) VERGE_TRY(applying.floor(name, version));
    for (const auto& deployment : fleet.deployments) VERGE_TRY(applying.deployment(deployment));
    applying.answer.dry_run = dry_run;
    if (!dry_run) return applying.answer;
    judged = std::move(applying.answer);
    return Error(ErrorCode::cancelled, kDryRun, "a dry run");
  });
  if (!done && dry_run && done.error().id() == kDryRun) return judged;
  return done;
}

}  // namespace verge::hub
