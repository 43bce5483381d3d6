// Samples that devices have sent.
#include "query.hpp"

namespace verge::hub {
namespace {

auto sample_columns(TelemetryRecord& r) {
  return std::tie(r.device, r.taken_ms, r.stored_ms, r.sample);
}
const std::string kSample = "device, taken_ms, stored_ms, sample";

auto stream_columns(TelemetryStreamRecord& r) {
  return std::tie(r.device, r.stream, r.stored_to, r.stored_ms);
}
const std::string kStream = "device, stream, stored_to, stored_ms";

}  // namespace

void Transaction::add(const TelemetryRecord& sample) {
  insert(state_.sql, "insert into telemetry (" + kSample + ")", sample_columns, sample);
}

std::vector<TelemetryRecord> Transaction::telemetry(const std::string& device, std::int64_t since_ms,
                                                    std::int64_t limit) {
  const auto columns = [](TelemetryRecord& r) {
    return std::tie(r.number, r.device, r.taken_ms, r.stored_ms, r.sample);
  };
  return select<TelemetryRecord>(state_.sql,
                                 "select number, " + kSample +
                                     " from telemetry where device = :d and taken_ms >= :s order by number desc "
                                     "limit :l",
                                 columns, device, since_ms, limit);
}

void Transaction::limit_telemetry(const std::string& device, std::int64_t most) {
  execute(state_.sql,
          "delete from telemetry where device = :d and number <= (select number from telemetry where device = :e "
          "order by number desc limit 1 offset :m)",
          device, device, most);
}

void Transaction::remove_telemetry_before(std::int64_t stored_ms) {
  execute(state_.sql, "delete from telemetry where stored_ms < :s", stored_ms);
}

void Transaction::put(const TelemetryStreamRecord& stream) {
  insert(state_.sql, "insert or replace into telemetry_streams (" + kStream + ")", stream_columns, stream);
}

void Transaction::limit_telemetry_streams(const std::string& device, std::int64_t most) {
  execute(state_.sql,
          "delete from telemetry_streams where device = :d and stream not in (select stream from telemetry_streams "
          "where device = :e order by stored_ms desc, stream limit :m)",
          device, device, most);
}

std::optional<TelemetryStreamRecord> Transaction::telemetry_stream(const std::string& device,
                                                                   const std::string& stream) {
  return select_one<TelemetryStreamRecord>(state_.sql,
                                           "select " + kStream +
                                               " from telemetry_streams where device = :d and "
                                               "stream = :s",
                                           stream_columns, device, stream);
}

}  // namespace verge::hub
