#include "core.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/hub/selector.hpp"
#include "verge/package/requirements.hpp"

namespace verge::hub {

std::string Principal::who() const {
  return device.empty() ? name : "device " + device;
}

Result<void> check_right(const Principal& caller, wire::Right right) {
  if (caller.rights.contains(right)) return {};
  if (caller.name.empty()) {
    return Error(ErrorCode::unauthenticated, "VRG-HUB-010",
                 "expected a token that this hub knows, got none or another; sign in with 'verge login', or have an "
                 "administrator make one: verge hub token");
  }
  std::string has;
  for (const auto one : caller.rights) has += (has.empty() ? "" : ", ") + std::string(wire::name(one));
  return Error(ErrorCode::permission_denied, "VRG-HUB-011",
               fmt::format("this needs the right '{}'; the token '{}' has {}; ask an administrator for another token",
                           wire::name(right), caller.name, has.empty() ? "none" : has));
}

Result<std::string> check_device(const Principal& caller) {
  if (!caller.device.empty()) return caller.device;
  return Error(ErrorCode::unauthenticated, "VRG-HUB-012",
               "expected a device with a certificate of this hub, got none; an agent joins with its enrolment.json");
}

void Core::heard_of(const std::string& device) {
  const std::lock_guard lock(contacts_mutex);
  contacts[device] = now();
}

std::int64_t Core::last_contact(const std::string& device) {
  const std::lock_guard lock(contacts_mutex);
  const auto found = contacts.find(device);
  return found == contacts.end() ? 0 : found->second;
}

Result<void> Core::change_only(const std::function<Result<void>(Change&)>& work) {
  const auto done = change<bool>([&](Change& made) -> Result<bool> {
    VERGE_TRY(work(made));
    return true;
  });
  if (!done) return Error(done.error());
  return {};
}

void Core::event(Transaction& transaction, const Principal& caller, std::string action, std::string subject,
                 std::string text) const {
  transaction.add(EventRecord{0, now(), caller.who(), std::move(action), std::move(subject), std::move(text)});
}

Result<void> Core::publish() {
  const std::lock_guard lock(trust_mutex);  // Before the database is read: the last to publish has read the newest.
  std::vector<trust::Target> targets;
  VERGE_TRY(store->transaction([&](Transaction& transaction) -> Result<void> {
    const auto floors = transaction.floors();
    for (const auto& version : transaction.versions()) {
      targets.push_back({target_path(version), static_cast<std::uint64_t>(version.content_bytes), version.digest,
                         wire::to_node(custom_of(version, floors))});
    }
    return {};
  }));
  std::ranges::sort(targets, {}, &trust::Target::path);
  auto published = trust.publish(std::move(targets), now() / 1000);
  publish_again = !published;
  note_signed();
  return published;
}

void Core::note_signed() {
  auto now_signed = trust.signed_targets();
  const std::lock_guard lock(signed_mutex);
  signed_targets = std::move(now_signed);
}

Result<void> Core::check_signed(const VersionRecord& version) const {
  trust::SignedTargets now_signed;
  {
    const std::lock_guard lock(signed_mutex);
    now_signed = signed_targets;
  }
  return now_signed.check(target_path(version), version.digest);
}

void Core::wake(const std::set<std::string>& devices) {
  for (const auto& device : devices) waiting.wake(device);
}

void Core::sweep(const std::string& digest) {
  const auto done = store->transaction([&](Transaction& transaction) -> Result<void> {
    return transaction.blob_in_use(digest) ? Result<void>() : Blobs::remove(blobs.path(digest));
  });
  if (!done) log.error("content stays until garbage is collected", {{"error", done.error().text()}});
}

std::string target_path(const VersionRecord& version) {
  return fmt::format("{}s/{}/{}.json", version.kind, version.name, version.version);
}

wire::TargetCustom custom_of(const VersionRecord& version, const std::map<std::string, std::string>& floors) {
  auto custom = read_own<wire::TargetCustom>(version.custom, wire::read_target_custom);
  if (const auto floor = floors.find(version.name); floor != floors.end()) custom.version_floor = floor->second;
  return custom;
}

Error unknown(std::string_view what, std::string_view name) {
  return Error(ErrorCode::not_found, "VRG-HUB-005", fmt::format("this hub has no {} '{}'", what, name));
}

wire::ReportedState report_of(const DeviceRecord& device) {
  return read_own<wire::ReportedState>(device.report, wire::read_reported_state);
}

std::map<std::string, std::string> hub_labels_of(const DeviceRecord& device) {
  return read_own<wire::DeviceLabels>(device.labels, wire::read_device_labels).labels;
}

std::map<std::string, std::string> labels_of(const DeviceRecord& device, const wire::ReportedState& report) {
  auto labels = hub_labels_of(device);  // insert() keeps what is there: the hub's win.
  labels.insert(report.device.labels.begin(), report.device.labels.end());
  if (report.device.device_type && !report.device.device_type->empty()) {
    labels.insert({"type", *report.device.device_type});
  }
  labels["name"] = device.name;
  return labels;
}

bool frozen(Transaction& store) {
  return read_own<wire::FleetFreeze>(store.setting("freeze"), wire::read_fleet_freeze).frozen;
}

wire::DesiredState desired_of(Transaction& store, const DeviceRecord& device) {
  wire::DesiredState state;
  state.version = device.desired_version;
  state.device = device.name;
  state.frozen = frozen(store);
  for (const auto& record : store.desired(device.name)) {
    wire::DesiredApplication application;
    application.application = record.application;
    application.version = record.version;
    application.target = record.target;
    application.digest = record.digest;
    application.deployment = record.deployment;
    if (!record.watch.empty()) {
      application.watch = read_own<wire::WatchPolicy>(record.watch, wire::read_watch_policy);
    }
    state.applications.push_back(std::move(application));
  }
  return state;
}

Result<std::vector<DeviceRecord>> select_devices(Transaction& store, const std::string& selector) {
  VERGE_ASSIGN(const auto parsed, Selector::parse(selector));
  auto devices = store.devices();
  std::erase_if(devices, [](const DeviceRecord& device) { return device.revoked_ms > 0; });
  std::set<std::string> in_use;
  std::vector<DeviceRecord> matching;
  for (auto& device : devices) {
    const auto labels = labels_of(device, report_of(device));
    for (const auto& [key, value] : labels) in_use.insert(fmt::format("{}={}", key, value));
    if (parsed.matches(labels)) matching.push_back(std::move(device));
  }
  if (!matching.empty()) return matching;
  std::string known;
  for (const auto& label : in_use) {
    if (known.size() > 200) {
      known += ", …";
      break;
    }
    known += (known.empty() ? "" : ", ") + label;
  }
  return Error(
      ErrorCode::not_found, "VRG-HUB-021",
      devices.empty()
          ? fmt::format("'{}' matches no device, since none has joined; make an enrolment.json for "
                        "one: verge device enrol",
                        selector)
          : fmt::format("'{}' matches none of {} devices; their labels are {}", selector, devices.size(), known));
}

int compare(const std::string& a, const std::string& b) {
  return package::compare_versions(a, b);
}

Result<VersionRecord> newest_version(Transaction& store, const std::string& name) {
  auto versions = store.versions_of(name);
  if (versions.empty()) return unknown("model or application", name);
  const auto released = [](const VersionRecord& v) { return v.version.find('-') == std::string::npos; };
  if (std::ranges::any_of(versions, released)) std::erase_if(versions, std::not_fn(released));
  return *std::ranges::max_element(versions,
                                   [](const auto& a, const auto& b) { return compare(a.version, b.version) < 0; });
}

}  // namespace verge::hub
