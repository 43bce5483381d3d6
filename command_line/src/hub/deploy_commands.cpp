// verge deploy, rollback.
#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "verbs.hpp"
#include "verge/base/text.hpp"
#include "verge/wire/application_selection.hpp"
#include "verge/wire/deployment_detail.hpp"
#include "verge/wire/deployment_explanation.hpp"
#include "verge/wire/deployment_list.hpp"
#include "verge/wire/deployment_request.hpp"

namespace verge::cli {
namespace {

using wire::Node;
using State = wire::DeploymentDeviceState;

struct DeployOptions : HubOptions {
  std::string subject, selector, device;
  bool dry_run = false, no_wait = false;
  double timeout_s = 600;
  wire::WatchPolicy watch;
};

bool is_end(State state) {
  return state == State::skipped || state == State::committed || state == State::rolled_back ||
         state == State::refused || state == State::failed || state == State::superseded;
}

std::string traffic(const wire::DeploymentDevice& device) {
  if (!device.bytes_fetched) return "-";
  return human_bytes(static_cast<double>(*device.bytes_fetched));
}

std::string detail_table(const wire::DeploymentDetail& detail) {
  std::vector<std::vector<std::string>> rows{{"DEVICE", "STATE", "BEFORE", "NOW", "SENT", "REASON"}};
  for (const auto& device : detail.devices) {
    rows.push_back({device.device, std::string(wire::name(device.state)), device.before.value_or("-"),
                    device.version.value_or("-"), traffic(device),
                    device.reason ? fmt::format("{} [{}]", device.reason->message, device.reason->id) : ""});
  }
  return fmt::format("{} {}: {} {} on {}, by {}\n{}", detail.summary.deployment, wire::name(detail.summary.kind),
                     detail.summary.application, detail.summary.version.value_or(""), detail.summary.selector,
                     detail.summary.created_by, table(rows));
}

std::string counts_text(const wire::DeploymentDetail& detail) {
  std::map<std::string_view, int> counts;
  for (const auto& device : detail.devices) ++counts[wire::name(device.state)];
  std::string text;
  for (const auto& [state, count] : counts) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, state);
  return text;
}

Result<wire::DeploymentDetail> read_detail(const Node& node) {
  return wire::read_deployment_detail(node, wire::Place("deployment"));
}

/// Follows a deployment to its end. A device that is away keeps it waiting until the time is over.
Result<void> follow(HubSession& hub, const DeployOptions& options, Node node) {
  VERGE_ASSIGN(auto detail, read_detail(node));
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(options.timeout_s);
  const auto all_ended = [&] {
    return std::ranges::all_of(detail.devices, [](const auto& device) { return is_end(device.state); });
  };
  Progress progress;
  while (!options.dry_run && !options.no_wait && !all_ended() && std::chrono::steady_clock::now() < end) {
    progress.show(fmt::format("{}: {}", detail.summary.deployment, counts_text(detail)));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    VERGE_ASSIGN(node, hub.get("/api/v1/deployments/" + encode(detail.summary.deployment)));
    VERGE_ASSIGN(detail, read_detail(node));
  }
  progress.clear();
  show(options, node,
       [&] { return detail_table(detail) + (options.dry_run ? "\n(dry run: nothing was changed)" : ""); });
  if (options.dry_run || options.no_wait) return {};
  if (!all_ended()) {
    return Error(ErrorCode::deadline_exceeded, "VRG-CLI-017",
                 fmt::format("not every device has ended within {} s ({}); it goes on: 'verge deploy show {}'",
                             options.timeout_s, counts_text(detail), detail.summary.deployment));
  }
  const auto good = [](const auto& device) { return device.state == State::committed; };
  if (std::ranges::all_of(detail.devices, good)) return {};
  return Error(ErrorCode::failed_precondition, "VRG-CLI-018",
               fmt::format("not every device took it: {}; see 'verge deploy explain {} DEVICE'", counts_text(detail),
                           detail.summary.deployment));
}

Result<void> deploy(HubSession& hub, const DeployOptions& options) {
  wire::DeploymentRequest request;
  const auto at = options.subject.find('@');
  request.application = options.subject.substr(0, at);
  if (at != std::string::npos) request.version = options.subject.substr(at + 1);
  request.selector = options.selector;
  request.watch = options.watch;
  request.dry_run = options.dry_run;
  VERGE_ASSIGN(Node node, hub.call("POST", "/api/v1/deployments", wire::write_json_line(wire::to_node(request))));
  return follow(hub, options, std::move(node));
}

/// Asks something of an application on the devices of a selector, and follows it.
Result<void> ask_selection(HubSession& hub, const DeployOptions& options, const std::string& path) {
  wire::ApplicationSelection selection;
  selection.application = options.subject;
  selection.selector = options.selector;
  selection.dry_run = options.dry_run;
  VERGE_ASSIGN(Node node, hub.call("POST", path, wire::write_json_line(wire::to_node(selection))));
  return follow(hub, options, std::move(node));
}

Result<void> rollback(HubSession& hub, const DeployOptions& options) {
  if (!options.selector.empty()) return ask_selection(hub, options, "/api/v1/rollbacks");
  VERGE_ASSIGN(Node node, hub.call("POST", "/api/v1/deployments/" + encode(options.subject) + "/rollback"));
  return follow(hub, options, std::move(node));
}

Result<void> remove_application(HubSession& hub, const DeployOptions& options) {
  return ask_selection(hub, options, "/api/v1/removals");
}

Result<void> list_deployments(HubSession& hub, const HubOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/deployments"));
  VERGE_ASSIGN(const auto list, wire::read_deployment_list(node, wire::Place("deployments")));
  show(options, node, [&] { return deployment_table(list); });
  return {};
}

Result<void> show_deployment(HubSession& hub, const DeployOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/deployments/" + encode(options.subject)));
  VERGE_ASSIGN(const auto detail, read_detail(node));
  show(options, node, [&] { return detail_table(detail); });
  return {};
}

Result<void> explain(HubSession& hub, const DeployOptions& options) {
  VERGE_ASSIGN(const Node node,
               hub.get("/api/v1/deployments/" + encode(options.subject) + "/devices/" + encode(options.device)));
  VERGE_ASSIGN(const auto explanation, wire::read_deployment_explanation(node, wire::Place("explanation")));
  show(options, node, [&] {
    std::vector<std::vector<std::string>> rows{{"WHEN", "AFTER", "SAYS", "STATE", "WHAT HAPPENED"}};
    const auto first = explanation.timeline.empty() ? 0 : explanation.timeline.front().at_ms;
    for (const auto& entry : explanation.timeline) {
      rows.push_back({moment(entry.at_ms), fmt::format("{:.2f} s", static_cast<double>(entry.at_ms - first) / 1000),
                      std::string(wire::name(entry.source)), entry.state ? std::string(wire::name(*entry.state)) : "",
                      entry.text});
    }
    const auto& status = explanation.status;
    std::string text =
        fmt::format("{} on {}: {} {} → {}\n{}", explanation.deployment, status.device, explanation.application,
                    status.version.value_or(""), wire::name(status.state), table(rows));
    if (!status.numbers.empty()) text += "\n";
    for (const auto& [name, value] : status.numbers) text += fmt::format("  {} {:.6g}", name, value);
    if (status.reason) text += fmt::format("\n\nReason: {} [{}]", status.reason->message, status.reason->id);
    return text;
  });
  return {};
}

void add_waiting(CLI::App* verb, const std::shared_ptr<DeployOptions>& o) {
  verb->add_flag("--no-wait", o->no_wait, "Do not wait for the devices");
  verb->add_option("--timeout", o->timeout_s, "Seconds to wait")->capture_default_str();
}

}  // namespace

std::string deployment_table(const wire::DeploymentList& list) {
  std::vector<std::vector<std::string>> rows{{"DEPLOYMENT", "KIND", "WHAT", "ON", "STATE", "DEVICES", "MADE"}};
  for (const auto& one : list.deployments) {
    std::string counts;
    for (const auto& [state, count] : one.counts)
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, state);
    rows.push_back({one.deployment, std::string(wire::name(one.kind)),
                    one.application + (one.version ? " " + *one.version : ""), one.selector,
                    std::string(wire::name(one.state)), counts, moment(one.created_ms)});
  }
  return rows.size() > 1 ? table(rows) : "No deployments yet; 'verge deploy MODEL --to all' makes one.";
}

void add_deploy_commands(CLI::App& app, Action& action) {
  auto [verb, o] = add_hub_verb<DeployOptions>(app, action, "deploy",
                                               "Ask devices to run a model or an application\n\nExamples:\n"
                                               "  verge deploy efficientnet_lite0@1.1.0 --to site=plant1\n"
                                               "  verge deploy explain d-3 cam-1",
                                               deploy);
  auto* subject = verb->add_option("WHAT", o->subject, "MODEL or APPLICATION, with @VERSION or the newest");
  auto* to =
      verb->add_option("--to", o->selector, "Which devices: all, name=cam-1, or labels such as site=plant1,type!=x");
  verb->add_option("--watch", o->watch.duration_s, "Seconds to watch live traffic before it is kept")
      ->capture_default_str();
  verb->add_option("--max-error-ratio", o->watch.max_error_ratio, "Part of requests that may fail, from 0 to 1")
      ->capture_default_str();
  verb->add_option("--max-latency-ratio", o->watch.max_latency_ratio,
                   "How many times slower than the version before it may be; 0: any")
      ->capture_default_str();
  verb->add_option("--min-requests", o->watch.min_requests, "Ratios are judged from so many requests on")
      ->capture_default_str();
  verb->add_flag("--dry-run", o->dry_run, "Only say what would happen");
  add_waiting(verb, o);
  verb->require_subcommand(0, 1);
  {
    add_hub_verb<HubOptions>(*verb, action, "list", "All deployments", list_deployments);
    auto [shown, so] =
        add_hub_verb<DeployOptions>(*verb, action, "show", "One deployment, device by device", show_deployment);
    shown->add_option("DEPLOYMENT", so->subject)->required();
    auto [why, wo] = add_hub_verb<DeployOptions>(
        *verb, action, "explain", "What happened on a device, and why: one time line with numbers", explain);
    why->add_option("DEPLOYMENT", wo->subject)->required();
    why->add_option("DEVICE", wo->device)->required();
    auto [gone, go] =
        add_hub_verb<DeployOptions>(*verb, action, "remove", "Devices end an application", remove_application);
    gone->add_option("APPLICATION", go->subject)->required();
    gone->add_option("--to", go->selector, "Which devices")->required();
    gone->add_flag("--dry-run", go->dry_run, "Only say what would happen");
    add_waiting(gone, go);
  }
  // The verb's own arguments are needed only when it is not followed by another verb.
  const CLI::App* deploy_verb = verb;
  verb->parse_complete_callback([deploy_verb, subject, to] {
    if (!deploy_verb->get_subcommands().empty()) return;
    if (subject->empty() || to->empty()) throw CLI::RequiredError("deploy needs WHAT and --to");
  });
  auto [back, bo] = add_hub_verb<DeployOptions>(app, action, "rollback",
                                                "Go back: from a deployment, or to each device's previous version\n\n"
                                                "Examples:\n  verge rollback d-3\n"
                                                "  verge rollback efficientnet_lite0 --to site=plant1",
                                                rollback);
  back->add_option("WHAT", bo->subject, "DEPLOYMENT; with --to: MODEL or APPLICATION")->required();
  back->add_option("--to", bo->selector, "Which devices");
  back->add_flag("--dry-run", bo->dry_run, "Only say what would happen (with --to)");
  add_waiting(back, bo);
}

}  // namespace verge::cli
