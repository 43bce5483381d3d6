// What devices call: reports up, desired state down, content by digest.
#include <algorithm>

#include <fmt/format.h>

#include "core.hpp"
#include "deploying.hpp"
#include "measured.hpp"
#include "verge/crypto/random.hpp"

namespace verge::hub {

Result<DeviceRecord> calling_device(Transaction& store, const Principal& caller) {
  VERGE_ASSIGN(const auto name, check_device(caller));
  const auto device = store.device(name);
  if (!device || (device->revoked_ms == 0 && device->key_fingerprint != caller.key_fingerprint)) {
    return Error(ErrorCode::unauthenticated, "VRG-HUB-016",
                 fmt::format("expected the key with which '{}' joined last, got another; join with a one-time token: "
                             "verge device enrol {}",
                             name, name));
  }
  if (device->revoked_ms > 0) {
    return Error(ErrorCode::permission_denied, "VRG-HUB-017",
                 fmt::format("the device '{}' was revoked; it may join again with a new one-time token: verge device "
                             "enrol {}",
                             name, name));
  }
  return *device;
}

Error conflict(const std::string& text) {
  return Error(ErrorCode::already_exists, "VRG-HUB-018", text);
}

namespace {

std::string conflict_text(const DeviceRecord& device, const std::string& instance, const std::string& address) {
  return fmt::format(
      "two machines use the identity of '{}': instance {} at {} and instance {} at {}; neither gets updates. Stop one "
      "of them, remove its state folder and let it join under a name of its own (verge device enrol); then: verge "
      "device "
      "resolve {}",
      device.name, device.instance.empty() ? "?" : device.instance, device.address.empty() ? "?" : device.address,
      instance, address, device.name);
}

/// Numbers and reason of an update go into the row of its deployment.
void note_update(Core& core, Change& change, const DeviceRecord& device, DeploymentDeviceRecord row,
                 const wire::UpdateReport& update) {
  const auto text = wire::write_json_line(wire::to_node(update));
  const auto state = std::string(wire::name(update.state));
  if (text == row.update && state == row.state) return;
  if (state != row.state) {
    core.deltas.look_again();  // It may have another version now.
    row.state = state;
    row.changed_ms = core.now();
  }
  row.reason_id = update.reason ? update.reason->id : "";
  row.reason = update.reason ? update.reason->message : "";
  row.update = text;
  row.clock_ahead_ms = device.clock_ahead_ms;
  change.store.put(row);
}

std::optional<std::int64_t> number_of(const std::string& deployment) {
  if (!deployment.starts_with("d-") || deployment.size() > 18) return std::nullopt;
  std::int64_t number = 0;
  for (const char c : deployment.substr(2)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

void note_applications(Core& core, Change& change, const DeviceRecord& device, const wire::ReportedState& report) {
  for (const auto& application : report.applications) {
    if (!application.update) continue;
    const auto number = number_of(application.update->deployment);
    if (!number) continue;
    auto row = change.store.deployment_device(*number, device.name);
    if (!row || row->application != application.application || row->state == "waiting" || row->state == "skipped" ||
        row->state == "superseded") {
      continue;
    }
    // Of a hub before this one, whose deployments had the same numbers.
    const bool committed = application.update->state == wire::UpdateState::committed;
    if (committed && application.update->digest != row->digest) continue;
    note_update(core, change, device, *row, *application.update);
  }
  // An application that is to end has ended when the device no longer has it.
  for (auto& open : change.store.open_deployments(device.name)) {
    if (!open.version.empty() || open.state == "waiting") continue;
    const auto reported = reported_application(report, open.application);
    if (reported && reported->active) continue;
    if (report.desired_version < device.desired_version) continue;
    open.state = "committed";
    open.changed_ms = core.now();
    change.store.put(open);
  }
}

}  // namespace

Result<wire::ReportAnswer> Hub::report(const Principal& caller, const wire::ReportedState& report) {
  VERGE_TRY(check_device(caller));
  core_->heard_of(caller.device);
  std::string conflicting;
  auto answer = core_->change<wire::ReportAnswer>([&](Change& change) -> Result<wire::ReportAnswer> {
    wire::ReportAnswer made;
    VERGE_ASSIGN(auto device, calling_device(change.store, caller));
    const auto carried = report.continuation.value_or("");
    const bool known = carried == device.continuation || carried == device.continuation_before;
    if (device.conflict.empty() && device.accept_next == 0 && !device.continuation.empty() && !known) {
      device.conflict = conflict_text(device, report.instance, caller.address);
      change.store.put(device);
      core_->event(change.store, caller, "device.conflict", device.name, device.conflict);
    }
    if (!device.conflict.empty()) {
      conflicting = device.conflict;  // Committed all the same: the mark must stay.
      return made;
    }
    device.continuation_before = carried;
    device.continuation = crypto::random_hex(16);
    device.accept_next = 0;
    device.instance = report.instance;
    device.address = caller.address;
    device.reported_ms = core_->now();
    device.clock_ahead_ms = report.time_ms ? *report.time_ms - core_->now() : 0;
    auto shown = report;
    if (shown.measured) shown.measured->endorsement.reset();  // There is a secret in it.
    device.report = wire::write_json_line(wire::to_node(shown));
    change.store.put(device);
    note_applications(*core_, change, device, report);
    note_measured(*core_, change, device, report, made);
    release_waiting(*core_, change, device.name);
    made.continuation = device.continuation;
    made.desired_version = change.store.device(device.name)->desired_version;
    made.time_ms = core_->now();
    return made;
  });
  if (answer && !conflicting.empty()) return conflict(conflicting);
  return answer;
}

void Hub::desired(const Principal& caller, std::int64_t after, std::int64_t wait_ms, const DesiredAnswer& answer) {
  using Answer = std::optional<wire::DesiredState>;
  if (const auto checked = check_device(caller); !checked) return answer(checked.error());
  core_->heard_of(caller.device);
  const auto look = [core = core_.get(), caller, after]() -> Result<Answer> {
    return core->read<Answer>([&](Transaction& store) -> Result<Answer> {
      VERGE_ASSIGN(const auto device, calling_device(store, caller));
      if (!device.conflict.empty()) return conflict(device.conflict);
      if (device.desired_version <= after) return Answer();
      return Answer(desired_of(store, device));
    });
  };
  // First into the waiting room, then the look: no change slips through between the two.
  const auto number = core_->waiting.wait(caller.device, core_->now() + wait_ms,
                                          [look, answer, core = core_.get(), caller](WaitingRoom::Reason reason) {
                                            core->heard_of(caller.device);
                                            if (reason != WaitingRoom::Reason::changed) return answer(Answer());
                                            answer(look());
                                          });
  if (number == 0) return;
  auto now = look();
  if (now && !*now && wait_ms > 0) return;
  if (core_->waiting.take_back(caller.device, number)) answer(std::move(now));
}

Result<wire::DeltaList> Hub::package_deltas(const Principal& caller, const std::string& digest) {
  return core_->read<wire::DeltaList>([&](Transaction& store) -> Result<wire::DeltaList> {
    VERGE_TRY(calling_device(store, caller));
    return core_->deltas.to_package(store, digest);
  });
}

Result<Hub::Content> Hub::device_blob(const Principal& caller, const std::string& digest) {
  VERGE_TRY(core_->read<bool>([&](Transaction& store) -> Result<bool> {
    VERGE_ASSIGN(const auto device, calling_device(store, caller));
    // Also what was offered before: it may fail since. It may pass again, so that the device tries again.
    const auto held = held_back(*core_, store, device);
    if (held) return Error(ErrorCode::unavailable, held->id(), held->message());
    return true;
  }));
  VERGE_ASSIGN(const auto size_bytes, core_->blobs.size_bytes(digest));
  return Content{core_->blobs.path(digest), size_bytes};
}

}  // namespace verge::hub
