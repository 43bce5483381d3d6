// verge device telemetry: how a device was.
#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "verbs.hpp"
#include "verge/wire/device_telemetry.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct TelemetryOptions : HubOptions {
  std::string name, since;
  int limit = 60;
};

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

/// "90s", "30m", "2h" or "7d", in milliseconds.
Result<std::int64_t> span_of(const std::string& text) {
  constexpr std::int64_t kMost = 100'000;
  std::int64_t count = 0;
  const auto* const end = text.data() + text.size();
  const auto [at, failed] = std::from_chars(text.data(), end, count);
  const std::string_view unit(at, static_cast<std::size_t>(end - at));
  const std::int64_t unit_ms = unit == "s"   ? 1000
                               : unit == "m" ? 60'000
                               : unit == "h" ? 3'600'000
                               : unit == "d" ? 86'400'000
                                             : 0;
  if (failed != std::errc() || unit_ms == 0 || count < 1 || count > kMost) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-090",
                 fmt::format("expected a time such as 90s, 30m, 2h or 7d, got '{}'", text));
  }
  return count * unit_ms;
}

std::string megabytes(const std::optional<std::int64_t>& bytes) {
  return bytes ? fmt::format("{} MiB", *bytes >> 20U) : "-";
}

std::string table_of(const wire::DeviceTelemetry& telemetry) {
  if (telemetry.samples.empty()) {
    return "No samples; the device sends some when its edge_config.yaml has 'telemetry: {}'.";
  }
  std::vector<std::vector<std::string>> rows{
      {"WHEN", "PROCESSOR", "MEMORY FREE", "DISK FREE", "TEMPERATURE", "REQUESTS", "FAILED", "P99"}};
  for (const auto& sample : telemetry.samples) {
    std::int64_t requests = 0;
    std::int64_t failed = 0;
    double p99_ms = 0;
    for (const auto& model : sample.models) {
      requests += model.requests.value_or(0);
      failed += model.failed.value_or(0);
      p99_ms = std::max(p99_ms, model.infer_p99_ms.value_or(0));
    }
    rows.push_back(
        {moment(sample.time_ms), sample.processor_load ? fmt::format("{:.0f} %", *sample.processor_load * 100) : "-",
         megabytes(sample.memory_available_bytes), megabytes(sample.disk_free_bytes),
         sample.temperature_c ? fmt::format("{:.1f} °C", *sample.temperature_c) : "-", std::to_string(requests),
         std::to_string(failed), p99_ms > 0 ? fmt::format("{:.1f} ms", p99_ms) : "-"});
  }
  return table(rows);
}

Result<void> show_telemetry(HubSession& hub, const TelemetryOptions& options) {
  std::int64_t since_ms = 0;
  if (!options.since.empty()) {
    VERGE_ASSIGN(const auto span_ms, span_of(options.since));
    since_ms = std::max<std::int64_t>(now_ms() - span_ms, 0);
  }
  VERGE_ASSIGN(const Node node, hub.get(fmt::format("/api/v1/devices/{}/telemetry?since={}&limit={}",
                                                    encode(options.name), since_ms, options.limit)));
  VERGE_ASSIGN(const auto telemetry, wire::read_device_telemetry(node, wire::Place("telemetry")));
  show(options, node, [&] { return table_of(telemetry); });
  if (telemetry.truncated) note(fmt::format("only the newest {}; --limit gives more", telemetry.samples.size()));
  return {};
}

}  // namespace

void add_telemetry_commands(CLI::App& app, Action& action) {
  constexpr int kMost = 10'000;
  auto* group = app.get_subcommand("device");
  auto [verb, o] = add_hub_verb<TelemetryOptions>(*group, action, "telemetry",
                                                  "Samples that a device has sent, oldest first\n\nExample:\n"
                                                  "  verge device telemetry cam-1 --since 2h",
                                                  show_telemetry);
  verb->add_option("DEVICE", o->name, "Name of the device")->required();
  verb->add_option("--since", o->since, "Only those of the last 90s, 30m, 2h or 7d, by the device's clock");
  verb->add_option("--limit", o->limit, "The newest so many")->check(CLI::Range(1, kMost))->capture_default_str();
}

}  // namespace verge::cli
