// verge device, logs.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "verbs.hpp"
#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/wire/device_detail.hpp"
#include "verge/wire/device_labels.hpp"
#include "verge/wire/device_list.hpp"
#include "verge/wire/enrolment.hpp"
#include "verge/wire/enrolment_request.hpp"
#include "verge/wire/event_list.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct DeviceOptions : HubOptions {
  std::string name, selector, file = "enrolment.json";
  double expires_h = 24;
  int limit = 50;
  std::vector<std::string> labels;
};

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string what_it_runs(const wire::DeviceSummary& device) {
  std::vector<std::string> parts;
  for (const auto& application : device.applications) {
    auto text = fmt::format("{} {}", application.application, application.version.value_or("-"));
    if (application.state && *application.state != wire::UpdateState::committed) {
      text += fmt::format(" ({} {})", application.wanted.value_or("?"), wire::name(*application.state));
    }
    parts.push_back(std::move(text));
  }
  return parts.empty() ? "-" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string measured_text(const wire::DeviceSummary& device) {
  if (!device.measured) return "-";
  const auto verdict = std::string(wire::name(device.measured->verdict));
  return device.measured->held ? fmt::format("{}, held [{}]", verdict, device.measured->held->id) : verdict;
}

Result<void> list_devices(HubSession& hub, const DeviceOptions& options) {
  const auto query = options.selector.empty() ? "" : "?selector=" + encode(options.selector);
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/devices" + query));
  VERGE_ASSIGN(const auto list, wire::read_device_list(node, wire::Place("devices")));
  show(options, node, [&] { return device_table(list); });
  return {};
}

Result<void> show_device(HubSession& hub, const DeviceOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/devices/" + encode(options.name)));
  VERGE_ASSIGN(const auto device, wire::read_device_detail(node, wire::Place("device")));
  // A person reads YAML more easily than a table of thirty rows.
  show(options, node, [&] { return wire::write_yaml(node); });
  if (device.summary.conflict) note("conflict: " + *device.summary.conflict);
  if (device.summary.measured && device.summary.measured->held) note("held: " + device.summary.measured->held->message);
  return {};
}

Result<void> enrol(HubSession& hub, const DeviceOptions& options) {
  wire::EnrolmentRequest request;
  if (!options.name.empty()) request.device = options.name;
  request.expires_s = static_cast<std::int64_t>(options.expires_h * 3600);
  VERGE_ASSIGN(const Node node, hub.call("POST", "/api/v1/enrolments", wire::write_json_line(wire::to_node(request))));
  VERGE_ASSIGN(const auto enrolment, wire::read_enrolment(node, wire::Place("enrolment")));
  if (options.file == "-") {
    print(wire::write_json(node));
    return {};
  }
  VERGE_TRY(write_file(options.file, std::string_view(wire::write_json(node))));
  std::error_code ignored;
  std::filesystem::permissions(options.file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write,
                               ignored);
  Node result = Node::map();
  result.add("file", Node::string(options.file));
  result.add("expires_ms", Node::integer(enrolment.expires_ms.value_or(0)));
  show(options, result, [&] {
    return fmt::format(
        "Wrote {}: one device{} may join with it until {}.\nCopy it to the device and name it in "
        "edge_config.yaml:\n  hub: {{ enrolment: {} }}",
        options.file, options.name.empty() ? "" : " called '" + options.name + "'",
        moment(enrolment.expires_ms.value_or(0)), std::filesystem::path(options.file).filename().string());
  });
  return {};
}

Result<void> set_labels(HubSession& hub, const DeviceOptions& options) {
  wire::DeviceLabels labels;
  for (const auto& text : options.labels) {
    const auto equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Error(ErrorCode::invalid_argument, "VRG-CLI-016", fmt::format("expected KEY=VALUE, got '{}'", text));
    }
    labels.labels[text.substr(0, equals)] = text.substr(equals + 1);
  }
  VERGE_TRY(hub.call("PUT", "/api/v1/devices/" + encode(options.name) + "/labels",
                     wire::write_json_line(wire::to_node(labels))));
  return {};
}

Result<void> show_logs(HubSession& hub, const DeviceOptions& options) {
  if (options.name.empty()) {
    VERGE_ASSIGN(const Node node, hub.get(fmt::format("/api/v1/events?limit={}", options.limit)));
    VERGE_ASSIGN(auto list, wire::read_event_list(node, wire::Place("events")));
    std::ranges::reverse(list.events);
    show(options, node, [&] {
      std::vector<std::vector<std::string>> rows{{"WHEN", "WHO", "WHAT", "SUBJECT", ""}};
      for (const auto& event : list.events) {
        rows.push_back({moment(event.at_ms), event.who, event.action, event.subject, event.text.value_or("")});
      }
      return table(rows);
    });
    return {};
  }
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/devices/" + encode(options.name)));
  VERGE_ASSIGN(const auto device, wire::read_device_detail(node, wire::Place("device")));
  struct Line {
    std::int64_t at_ms;
    std::string application, version, state, text;
  };
  std::vector<Line> lines;
  const auto report = device.report.value_or(wire::ReportedState{});
  for (const auto& application : report.applications) {
    if (!application.update) continue;
    for (const auto& entry : application.update->timeline) {
      lines.push_back({entry.at_ms, application.application, application.update->version,
                       std::string(wire::name(entry.state)), entry.text});
    }
  }
  std::ranges::stable_sort(lines, {}, &Line::at_ms);
  show(options, node, [&] {
    std::vector<std::vector<std::string>> rows{{"WHEN", "APPLICATION", "VERSION", "STATE", "TEXT"}};
    for (const auto& line : lines)
      rows.push_back({moment(line.at_ms), line.application, line.version, line.state, line.text});
    std::string text = table(rows);
    for (const auto& message : report.messages) text += "\n! " + message;
    return text;
  });
  return {};
}

Result<void> plain_call(HubSession& hub, const std::string& method, const DeviceOptions& options,
                        const std::string& rest) {
  VERGE_TRY(hub.call(method, "/api/v1/devices/" + encode(options.name) + rest));
  return {};
}

}  // namespace

std::string device_table(const wire::DeviceList& list) {
  std::vector<std::vector<std::string>> rows{{"DEVICE", "STATE", "SEEN", "TYPE", "RUNS", "INFERENCE"}};
  const bool any_measured = std::ranges::any_of(list.devices, [](const auto& d) { return d.measured.has_value(); });
  if (any_measured) rows.front().emplace_back("MEASURED");
  for (const auto& device : list.devices) {
    auto& row = rows.emplace_back(std::vector<std::string>{
        device.device, std::string(wire::name(device.state)), ago(device.seen_ms.value_or(0), now_ms()),
        device.device_type.value_or("-"), what_it_runs(device),
        device.infer_p50_ms ? fmt::format("{:.1f} ms", *device.infer_p50_ms) : "-"});
    if (any_measured) row.push_back(measured_text(device));
  }
  return rows.size() > 1 ? table(rows) : "No devices yet; 'verge device enrol' makes the file with which one joins.";
}

void add_device_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("device", "Enrol devices and look at them");
  group->require_subcommand(1);
  const auto named = [](CLI::App* verb, const std::shared_ptr<DeviceOptions>& o) {
    verb->add_option("DEVICE", o->name, "Name of the device")->required();
  };
  {
    auto [verb, o] =
        add_hub_verb<DeviceOptions>(*group, action, "list", "All devices, or those of a selector", list_devices);
    verb->add_option("SELECTOR", o->selector, "For example site=plant1,type!=camera");
  }
  {
    auto [verb, o] =
        add_hub_verb<DeviceOptions>(*group, action, "show", "One device with its last report", show_device);
    named(verb, o);
  }
  {
    auto [verb, o] = add_hub_verb<DeviceOptions>(*group, action, "enrol",
                                                 "Make the file with which one device joins\n\nExample:\n"
                                                 "  verge device enrol --name cam-1 --to enrolment.json",
                                                 enrol);
    verb->add_option("--name", o->name, "Name that the device must have; any when absent");
    verb->add_option("--expires", o->expires_h, "Hours until the token ends")->capture_default_str();
    verb->add_option("--to", o->file, "File to write; '-': standard output")->capture_default_str();
  }
  {
    auto [verb, o] = add_hub_verb<DeviceOptions>(*group, action, "label",
                                                 "Set the hub's labels of a device, all of them\n\nExample:\n"
                                                 "  verge device label cam-1 site=plant1 line=3",
                                                 set_labels);
    named(verb, o);
    verb->add_option("LABELS", o->labels, "KEY=VALUE; none removes all");
  }
  {
    auto [verb, o] = add_hub_verb<DeviceOptions>(
        *group, action, "revoke", "Its certificate and key count no more",
        [](HubSession& hub, const DeviceOptions& d) { return plain_call(hub, "DELETE", d, ""); });
    named(verb, o);
  }
  {
    auto [verb, o] = add_hub_verb<DeviceOptions>(
        *group, action, "resolve",
        "End a conflict of two machines with one identity: the next that reports is the device",
        [](HubSession& hub, const DeviceOptions& d) { return plain_call(hub, "POST", d, "/resolve"); });
    named(verb, o);
  }
  auto [logs, o] = add_hub_verb<DeviceOptions>(app, action, "logs",
                                               "Who did what on the hub, or what happened on a device\n\nExamples:\n"
                                               "  verge logs\n  verge logs cam-1",
                                               show_logs);
  logs->add_option("DEVICE", o->name, "Name of a device");
  logs->add_option("--limit", o->limit, "How many events")->check(CLI::Range(1, 1000))->capture_default_str();
}

}  // namespace verge::cli
