#include "deploying.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "measured.hpp"
#include "verge/package/requirements.hpp"

namespace verge::hub {
namespace {

constexpr std::array<std::string_view, 6> kOpenStates{"waiting",   "pending",    "downloading",
                                                      "verifying", "installing", "testing"};

/// What the device has of the application: what it reports, else what it has been told.
void note_before(Transaction& store, DeploymentDeviceRecord& row, const DeviceRecord& device) {
  const auto reported = reported_application(report_of(device), row.application);
  if (reported && reported->active) {
    row.before_version = reported->active->version;
    row.before_digest = reported->active->digest;
    const auto version = store.version_by_digest(row.application, reported->active->digest);
    row.before_target = version ? target_path(*version) : reported->active->target.value_or("");
    return;
  }
  for (const auto& wanted : store.desired(device.name)) {
    if (wanted.application != row.application || reported) continue;
    row.before_version = wanted.version;
    row.before_digest = wanted.digest;
    row.before_target = wanted.target;
  }
}

void skip(Core& core, DeploymentDeviceRecord& row, const std::string& id, const std::string& why) {
  row.state = "skipped";
  row.reason_id = id;
  row.reason = fmt::format("{} skipped: {}", row.device, why);
  row.changed_ms = core.now();
}

/// Changes what the device should run; older deployments of the same application end with it.
void offer(Core& core, Change& change, const DeploymentRecord& deployment, DeploymentDeviceRecord& row) {
  for (auto& older : change.store.open_deployments(row.device)) {
    if (older.application != row.application || older.number >= row.number) continue;
    older.state = "superseded";
    older.reason_id = "VRG-HUB-031";
    older.reason = fmt::format("{} came after it", deployment_id(row.number));
    older.changed_ms = core.now();
    change.store.put(older);
  }
  if (row.version.empty()) {
    change.store.remove_desired(row.device, row.application);
  } else {
    change.store.put(DesiredRecord{row.device, row.application, row.version, row.target, row.digest,
                                   deployment_id(row.number), deployment.watch});
  }
  change.store.raise_desired_version(row.device);
  change.devices.insert(row.device);
  row.state = "pending";
  row.reason_id.clear();
  row.reason.clear();
  row.offered_ms = core.now();
  row.changed_ms = row.offered_ms;
}

void wait_for(Core& core, DeploymentDeviceRecord& row, const std::string& id, const std::string& why) {
  if (row.state == "waiting" && row.reason_id == id) return;
  row.state = "waiting";
  row.reason_id = id;
  row.reason = why;
  row.changed_ms = core.now();
}

/// Decides about one device: skipped, waiting, or offered.
void judge(Core& core, Change& change, const DeploymentRecord& deployment, DeploymentDeviceRecord& row,
           const DeviceRecord& device, bool is_frozen, bool dry_run) {
  if (device.reported_ms == 0) {
    return wait_for(core, row, "VRG-HUB-032", "waits for the device's first report, to compare what it has");
  }
  if (deployment.kind == "deploy") {
    const auto version = change.store.version(row.application, row.version);
    if (!version) return skip(core, row, "VRG-HUB-005", fmt::format("{} {} was deleted", row.application, row.version));
    if (const auto fits = check_device_fit(change.store, *version, device); !fits) {
      return skip(core, row, fits.error().id(), fits.error().message());
    }
  }
  if (!row.version.empty()) {  // What ends may end on any device.
    const auto held = held_back(core, change.store, device);
    if (held) return wait_for(core, row, held->id(), held->message());
  }
  if (is_frozen) return wait_for(core, row, "VRG-HUB-033", "waits until the fleet is no longer frozen");
  if (row.before_version.empty()) note_before(change.store, row, device);
  if (!dry_run) return offer(core, change, deployment, row);
  row.state = "pending";
}

}  // namespace

bool has_ended(std::string_view state) {
  return std::ranges::find(kOpenStates, state) == kOpenStates.end();
}

std::optional<wire::ReportedApplication> reported_application(const wire::ReportedState& report,
                                                              const std::string& application) {
  const auto found = std::ranges::find(report.applications, application, &wire::ReportedApplication::application);
  if (found == report.applications.end()) return std::nullopt;
  return *found;
}

Result<void> check_device_fit(Transaction& store, const VersionRecord& version, const DeviceRecord& device) {
  const auto report = report_of(device).device;
  const auto floors = store.floors();
  VERGE_TRY(package::check_fit(custom_of(version, floors), report));
  if (version.kind != "application") return {};
  // Each model has needs of its own: its engine must be there, not only that of another model.
  for (const auto& model : read_own<wire::Application>(version.document, wire::read_application).models) {
    const auto record = store.version(model.model, model.version);
    if (!record) continue;
    auto fits = package::check_fit(custom_of(*record, floors), report);
    if (!fits) return std::move(fits.error()).with_context("model '" + model.model + "'");
  }
  return {};
}

Result<void> check_floors(Transaction& store, const VersionRecord& version) {
  const auto floors = store.floors();
  const auto below = [&](const std::string& name, const std::string& its_version) -> Result<void> {
    const auto floor = floors.find(name);
    if (floor == floors.end() || compare(its_version, floor->second) >= 0) return {};
    return Error(
        ErrorCode::failed_precondition, "VRG-HUB-030",
        fmt::format("expected '{}' {} or later, the smallest version allowed, got {}; deploy a later one, or lower "
                    "the floor",
                    name, floor->second, its_version));
  };
  VERGE_TRY(below(version.name, version.version));
  if (version.kind != "application") return {};
  for (const auto& model : read_own<wire::Application>(version.document, wire::read_application).models) {
    VERGE_TRY(below(model.model, model.version));
  }
  return {};
}

Result<void> check_signatures(const Core& core, Transaction& store, const VersionRecord& version) {
  VERGE_TRY(core.check_signed(version));
  if (version.kind != "application") return {};
  for (const auto& model : read_own<wire::Application>(version.document, wire::read_application).models) {
    if (const auto record = store.version(model.model, model.version)) VERGE_TRY(core.check_signed(*record));
  }
  return {};
}

Result<wire::DeploymentDetail> record_deployment(Core& core, Change& change, DeploymentRecord deployment,
                                                 const std::vector<Wish>& wishes, bool dry_run) {
  deployment.created_ms = core.now();
  if (!dry_run) deployment.number = change.store.add(deployment);
  const bool is_frozen = frozen(change.store);
  std::vector<DeploymentDeviceRecord> rows;
  for (const auto& wish : wishes) {
    DeploymentDeviceRecord row;
    row.number = deployment.number;
    row.application = deployment.application;
    row.device = wish.device.name;
    row.version = wish.version;
    row.target = wish.target;
    row.digest = wish.digest;
    note_before(change.store, row, wish.device);
    row.changed_ms = core.now();
    if (!wish.skip.empty()) {
      skip(core, row, wish.skip_id, wish.skip);
    } else {
      judge(core, change, deployment, row, wish.device, is_frozen, dry_run);
    }
    if (!dry_run) change.store.put(row);
    rows.push_back(std::move(row));
  }
  wire::DeploymentDetail detail;
  if (!dry_run) return detail_of(change.store, deployment);
  detail.summary = summary_of(change.store, deployment);
  detail.summary.deployment.clear();
  for (const auto& row : rows) {
    detail.devices.push_back(status_of(row));
    ++detail.summary.counts[row.state];
  }
  return detail;
}

void release_waiting(Core& core, Change& change, const std::string& device_name) {
  const bool is_frozen = frozen(change.store);
  for (auto& row : device_name.empty() ? change.store.waiting() : change.store.open_deployments(device_name)) {
    if (row.state != "waiting") continue;
    const auto device = change.store.device(row.device);
    const auto deployment = change.store.deployment(row.number);
    if (!device || !deployment || device->revoked_ms > 0) continue;
    // One that came before in this round may have been superseded meanwhile.
    const auto now = change.store.deployment_device(row.number, row.device);
    if (!now || now->state != "waiting") continue;
    judge(core, change, *deployment, row, *device, is_frozen, false);
    change.store.put(row);
  }
}

Result<wire::DeploymentDetail> deploy_in(Core& core, Change& change, const Principal& caller,
                                         const wire::DeploymentRequest& request) {
  VersionRecord version;
  if (request.version) {
    const auto found = change.store.version(request.application, *request.version);
    if (!found) {
      return change.store.versions_of(request.application).empty()
                 ? unknown("model or application", request.application)
                 : unknown("version", request.application + " " + *request.version);
    }
    version = *found;
  } else {
    VERGE_ASSIGN(version, newest_version(change.store, request.application));
  }
  VERGE_TRY(check_floors(change.store, version));
  VERGE_TRY(check_signatures(core, change.store, version));
  VERGE_ASSIGN(auto devices, select_devices(change.store, request.selector));
  DeploymentRecord deployment;
  deployment.kind = "deploy";
  deployment.application = request.application;
  deployment.version = version.version;
  deployment.target = target_path(version);
  deployment.digest = version.digest;
  deployment.selector = request.selector;
  if (request.watch) deployment.watch = wire::write_json_line(wire::to_node(*request.watch));
  deployment.created_by = caller.who();
  std::vector<Wish> wishes;
  for (auto& device : devices) {
    wishes.push_back({std::move(device), version.version, deployment.target, version.digest, "", ""});
  }
  VERGE_ASSIGN(auto detail, record_deployment(core, change, deployment, wishes, request.dry_run));
  if (!request.dry_run) {
    core.event(change.store, caller, "deployment.create", detail.summary.deployment,
               fmt::format("{} {} on {}", request.application, version.version, request.selector));
  }
  return detail;
}

}  // namespace verge::hub
