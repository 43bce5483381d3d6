// Devices and what they should run.
#include "query.hpp"

namespace verge::hub {
namespace {

auto device_columns(DeviceRecord& r) {
  return std::tie(r.name, r.joined_ms, r.key_fingerprint, r.certificate_until_ms, r.revoked_ms, r.conflict,
                  r.continuation, r.continuation_before, r.accept_next, r.instance, r.address, r.reported_ms,
                  r.clock_ahead_ms, r.report, r.labels, r.desired_version);
}
const std::string kDevice =
    "name, joined_ms, key_fingerprint, certificate_until_ms, revoked_ms, conflict, continuation, continuation_before, "
    "accept_next, instance, address, reported_ms, clock_ahead_ms, report, labels, desired_version";

auto desired_columns(DesiredRecord& r) {
  return std::tie(r.device, r.application, r.version, r.target, r.digest, r.deployment, r.watch);
}
const std::string kDesired = "device, application, version, target, digest, deployment, watch";

}  // namespace

void Transaction::put(const DeviceRecord& device) {
  // Not "insert or replace": other tables refer to the row.
  const auto touched = execute(
      state_.sql,
      "update devices set joined_ms = :a, key_fingerprint = :b, certificate_until_ms = :c, revoked_ms = :d, "
      "conflict = :e, continuation = :f, continuation_before = :g, accept_next = :h, instance = :i, address = :j, "
      "reported_ms = :k, clock_ahead_ms = :l, report = :m, labels = :n, desired_version = :o where name = :p",
      device.joined_ms, device.key_fingerprint, device.certificate_until_ms, device.revoked_ms, device.conflict,
      device.continuation, device.continuation_before, device.accept_next, device.instance, device.address,
      device.reported_ms, device.clock_ahead_ms, device.report, device.labels, device.desired_version, device.name);
  if (touched == 0) insert(state_.sql, "insert into devices (" + kDevice + ")", device_columns, device);
}

std::optional<DeviceRecord> Transaction::device(const std::string& name) {
  return select_one<DeviceRecord>(state_.sql, "select " + kDevice + " from devices where name = :n", device_columns,
                                  name);
}

std::optional<DeviceRecord> Transaction::device_by_key(const std::string& key_fingerprint) {
  return select_one<DeviceRecord>(state_.sql, "select " + kDevice + " from devices where key_fingerprint = :k",
                                  device_columns, key_fingerprint);
}

std::vector<DeviceRecord> Transaction::devices() {
  return select<DeviceRecord>(state_.sql, "select " + kDevice + " from devices order by name", device_columns);
}

std::vector<DesiredRecord> Transaction::desired(const std::string& device) {
  return select<DesiredRecord>(state_.sql,
                               "select " + kDesired + " from desired where device = :d order by application",
                               desired_columns, device);
}

std::vector<DesiredRecord> Transaction::all_desired() {
  return select<DesiredRecord>(state_.sql, "select " + kDesired + " from desired order by device, application",
                               desired_columns);
}

void Transaction::put(const DesiredRecord& desired) {
  insert(state_.sql, "insert or replace into desired (" + kDesired + ")", desired_columns, desired);
}

void Transaction::remove_desired(const std::string& device, const std::string& application) {
  execute(state_.sql, "delete from desired where device = :d and application = :a", device, application);
}

std::int64_t Transaction::raise_desired_version(const std::string& device) {
  execute(state_.sql, "update devices set desired_version = desired_version + 1 where name = :d", device);
  return number_of(state_.sql, "select desired_version from devices where name = :d", device);
}

}  // namespace verge::hub
