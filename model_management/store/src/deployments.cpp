// Deployments and their state on each device.
#include <fmt/format.h>

#include "query.hpp"

namespace verge::hub {
namespace {

auto deployment_columns(DeploymentRecord& r) {
  return std::tie(r.number, r.kind, r.application, r.version, r.target, r.digest, r.selector, r.watch, r.rolls_back,
                  r.created_ms, r.created_by);
}
const std::string kDeployment =
    "number, kind, application, version, target, digest, selector, watch, rolls_back, created_ms, created_by";

auto device_columns(DeploymentDeviceRecord& r) {
  return std::tie(r.number, r.device, r.state, r.reason_id, r.reason, r.version, r.target, r.digest, r.before_version,
                  r.before_target, r.before_digest, r.offered_ms, r.changed_ms, r.update, r.clock_ahead_ms);
}
auto read_columns(DeploymentDeviceRecord& r) {
  return std::tuple_cat(device_columns(r), std::tie(r.application));
}
const std::string kDevice =
    "number, device, state, reason_id, reason, version, target, digest, before_version, before_target, before_digest, "
    "offered_ms, changed_ms, update_report, clock_ahead_ms";
const std::string kRead =
    "select d.number, d.device, d.state, d.reason_id, d.reason, d.version, d.target, d.digest, d.before_version, "
    "d.before_target, d.before_digest, d.offered_ms, d.changed_ms, d.update_report, d.clock_ahead_ms, p.application "
    "from deployment_devices d join deployments p on p.number = d.number ";

}  // namespace

std::int64_t Transaction::add(const DeploymentRecord& deployment) {
  execute(state_.sql,
          "insert into deployments (kind, application, version, target, digest, selector, watch, rolls_back, "
          "created_ms, created_by) values (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j)",
          deployment.kind, deployment.application, deployment.version, deployment.target, deployment.digest,
          deployment.selector, deployment.watch, deployment.rolls_back, deployment.created_ms, deployment.created_by);
  return number_of(state_.sql, "select max(number) from deployments");
}

void Transaction::skip_deployment_numbers(std::int64_t number) {
  // SQLite's own table, with the largest number that a row has had.
  if (execute(state_.sql, "update sqlite_sequence set seq = max(seq, :n) where name = 'deployments'", number) == 0) {
    execute(state_.sql, "insert into sqlite_sequence (name, seq) values ('deployments', :n)", number);
  }
}

std::optional<DeploymentRecord> Transaction::deployment(std::int64_t number) {
  return select_one<DeploymentRecord>(state_.sql, "select " + kDeployment + " from deployments where number = :n",
                                      deployment_columns, number);
}

std::vector<DeploymentRecord> Transaction::deployments(const std::string& application, std::int64_t limit) {
  return select<DeploymentRecord>(
      state_.sql,
      "select " + kDeployment + " from deployments where :a = '' or application = :b order by number desc limit :l",
      deployment_columns, application, application, limit);
}

void Transaction::put(const DeploymentDeviceRecord& device) {
  insert(state_.sql, "insert or replace into deployment_devices (" + kDevice + ")", device_columns, device);
}

std::vector<DeploymentDeviceRecord> Transaction::deployment_devices(std::int64_t number) {
  return select<DeploymentDeviceRecord>(state_.sql, kRead + "where d.number = :n order by d.device", read_columns,
                                        number);
}

std::optional<DeploymentDeviceRecord> Transaction::deployment_device(std::int64_t number, const std::string& device) {
  return select_one<DeploymentDeviceRecord>(state_.sql, kRead + "where d.number = :n and d.device = :d", read_columns,
                                            number, device);
}

std::vector<DeploymentDeviceRecord> Transaction::open_deployments(const std::string& device) {
  return select<DeploymentDeviceRecord>(
      state_.sql,
      kRead +
          "where d.device = :d and d.state in ('waiting', 'pending', 'downloading', 'verifying', 'installing', "
          "'testing') order by d.number",
      read_columns, device);
}

std::vector<DeploymentDeviceRecord> Transaction::waiting() {
  return select<DeploymentDeviceRecord>(state_.sql, kRead + "where d.state = 'waiting' order by d.number, d.device",
                                        read_columns);
}

std::map<std::string, std::int64_t> Transaction::deployment_counts(std::int64_t number) {
  using Row = std::pair<std::string, long long>;
  std::map<std::string, std::int64_t> counts;
  for (const auto& row : select<Row>(
           state_.sql, "select state, count(*) from deployment_devices where number = :n group by state",
           [](Row& r) { return std::tie(r.first, r.second); }, number)) {
    counts[row.first] = row.second;
  }
  return counts;
}

std::int64_t Transaction::count(const std::string& table) {
  return number_of(state_.sql, fmt::format("select count(*) from {}", table));
}

}  // namespace verge::hub
