// Samples that devices send: stored once each, bounded.
#include <algorithm>

#include <fmt/format.h>

#include "core.hpp"

namespace verge::hub {
namespace {

constexpr std::int64_t kDay_ms = 86'400'000;
/// Samples of a device between two looks at how many there are.
constexpr std::int64_t kLookEvery = 64;
/// Of a device: it begins another one only when it has lost its store.
constexpr std::int64_t kMostStreams = 16;

Result<void> check_order(const wire::TelemetryBatch& batch) {
  for (std::size_t i = 1; i < batch.samples.size(); ++i) {
    if (batch.samples[i].sequence > batch.samples[i - 1].sequence) continue;
    return Error(ErrorCode::invalid_argument, "VRG-HUB-082",
                 fmt::format("expected samples whose numbers go up, got {} behind {}", batch.samples[i].sequence,
                             batch.samples[i - 1].sequence));
  }
  return {};
}

}  // namespace

Result<wire::TelemetryAnswer> Hub::store_telemetry(const Principal& caller, const wire::TelemetryBatch& batch,
                                                   std::int64_t& retry_after_s) {
  VERGE_TRY(check_device(caller));
  VERGE_TRY(check_order(batch));
  const auto now = core_->now();
  retry_after_s = core_->telemetry.admit(caller.device, now);
  if (retry_after_s > 0) {
    return Error(ErrorCode::resource_exhausted, "VRG-HUB-081",
                 fmt::format("expected at most {} batches of samples a minute from a device, got more; send again in "
                             "{} s",
                             TelemetryGate::kBatchesPerMinute, retry_after_s));
  }
  core_->heard_of(caller.device);
  return core_->change<wire::TelemetryAnswer>([&](Change& change) -> Result<wire::TelemetryAnswer> {
    VERGE_ASSIGN(const auto device, calling_device(change.store, caller));
    if (!device.conflict.empty()) return conflict(device.conflict);
    auto stream = change.store.telemetry_stream(device.name, batch.stream)
                      .value_or(TelemetryStreamRecord{device.name, batch.stream, 0, 0});
    const auto before = stream.stored_to;
    for (const auto& sample : batch.samples) {
      if (sample.sequence <= stream.stored_to) continue;  // It is there already.
      change.store.add(
          TelemetryRecord{0, device.name, sample.time_ms, now, wire::write_json_line(wire::to_node(sample))});
      stream.stored_to = sample.sequence;
    }
    if (stream.stored_to > before) {
      stream.stored_ms = now;
      change.store.put(stream);
    }
    if (before == 0) change.store.limit_telemetry_streams(device.name, kMostStreams);
    if (stream.stored_to / kLookEvery > before / kLookEvery || batch.samples.size() >= kLookEvery) {
      change.store.limit_telemetry(device.name, core_->setup.telemetry.most_samples);
    }
    wire::TelemetryAnswer answer;
    answer.stored_to = stream.stored_to;
    return answer;
  });
}

Result<wire::DeviceTelemetry> Hub::telemetry(const Principal& caller, const std::string& name, std::int64_t since_ms,
                                             std::int64_t limit) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::DeviceTelemetry>([&](Transaction& store) -> Result<wire::DeviceTelemetry> {
    if (!store.device(name)) return unknown("device", name);
    auto records = store.telemetry(name, since_ms, limit + 1);
    wire::DeviceTelemetry found;
    found.device = name;
    found.truncated = records.size() > static_cast<std::size_t>(limit);
    if (found.truncated) records.pop_back();
    std::ranges::reverse(records);
    for (const auto& record : records) {
      found.samples.push_back(read_own<wire::TelemetrySample>(record.sample, wire::read_telemetry_sample));
    }
    return found;
  });
}

void Hub::forget_old_telemetry() {
  const auto before_ms = core_->now() - core_->setup.telemetry.days * kDay_ms;
  const auto done = core_->change_only([&](Change& change) -> Result<void> {
    change.store.remove_telemetry_before(before_ms);
    return {};
  });
  if (!done) core_->log.error("old telemetry is not removed", {{"error", done.error().text()}});
}

}  // namespace verge::hub
