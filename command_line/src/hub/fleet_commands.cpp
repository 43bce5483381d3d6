// verge status, apply, fleet.
#include <fmt/format.h>

#include "verbs.hpp"
#include "verge/wire/deployment_list.hpp"
#include "verge/wire/device_list.hpp"
#include "verge/wire/fleet.hpp"
#include "verge/wire/fleet_answer.hpp"
#include "verge/wire/fleet_freeze.hpp"
#include "verge/wire/hub_status.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct ApplyOptions : HubOptions {
  std::string file;
  bool dry_run = false;
};

struct FreezeOptions : HubOptions {
  std::string reason;
};

Result<void> status(HubSession& hub, const HubOptions& options) {
  VERGE_ASSIGN(const Node status, hub.get("/api/v1/status"));
  VERGE_ASSIGN(const Node devices, hub.get("/api/v1/devices"));
  VERGE_ASSIGN(const Node deployments, hub.get("/api/v1/deployments?limit=10"));
  VERGE_ASSIGN(const auto state, wire::read_hub_status(status, wire::Place("status")));
  VERGE_ASSIGN(const auto fleet, wire::read_device_list(devices, wire::Place("devices")));
  VERGE_ASSIGN(const auto list, wire::read_deployment_list(deployments, wire::Place("deployments")));
  Node all = Node::map();
  all.add("status", status);
  all.add("devices", *devices.find("devices"));
  all.add("deployments", *deployments.find("deployments"));
  show(options, all, [&] {
    return fmt::format("{}{}\n\n{}\n\n{}", hub.url(), state.frozen ? "  FROZEN: no update begins" : "",
                       device_table(fleet), deployment_table(list));
  });
  return {};
}

Result<void> apply(HubSession& hub, const ApplyOptions& options) {
  VERGE_ASSIGN(const Node document, wire::read_document(options.file));
  VERGE_ASSIGN(const auto fleet, wire::read_fleet(document, wire::Place(options.file)));
  const auto* query = options.dry_run ? "?dry_run=true" : "";
  VERGE_ASSIGN(const Node node,
               hub.call("POST", std::string("/api/v1/fleet") + query, wire::write_json_line(wire::to_node(fleet))));
  VERGE_ASSIGN(const auto answer, wire::read_fleet_answer(node, wire::Place("changes")));
  show(options, node, [&] {
    if (answer.changes.empty()) return std::string("The fleet is as the file says; nothing to change.");
    std::vector<std::vector<std::string>> rows{{"CHANGE", "OF", "", "DEPLOYMENT"}};
    for (const auto& change : answer.changes) {
      rows.push_back(
          {std::string(wire::name(change.kind)), change.subject, change.text, change.deployment.value_or("")});
    }
    return table(rows) + (options.dry_run ? "\n(dry run: nothing was changed)" : "");
  });
  return {};
}

Result<void> set_freeze(HubSession& hub, const FreezeOptions& options, bool frozen) {
  wire::FleetFreeze freeze;
  freeze.frozen = frozen;
  if (!options.reason.empty()) freeze.reason = options.reason;
  VERGE_ASSIGN(const Node node, hub.call("PUT", "/api/v1/freeze", wire::write_json_line(wire::to_node(freeze))));
  show(options, node, [&] {
    return frozen
               ? "The fleet is frozen: no update begins; deployments are recorded and wait. 'verge fleet thaw' ends it."
               : "Updates may begin again.";
  });
  return {};
}

}  // namespace

void add_fleet_commands(CLI::App& app, Action& action) {
  add_hub_verb<HubOptions>(app, action, "status", "The fleet at a glance: devices and the newest deployments", status);
  {
    auto [verb, o] = add_hub_verb<ApplyOptions>(app, action, "apply",
                                                "Make the fleet as a file says\n\nExample:\n"
                                                "  verge apply -f fleet.yaml --dry-run",
                                                apply);
    verb->add_option("-f,--file", o->file, "fleet.yaml")->required();
    verb->add_flag("--dry-run", o->dry_run, "Only show the difference");
  }
  auto* group = app.add_subcommand("fleet", "Hold updates back, or let them go");
  group->require_subcommand(1);
  {
    auto [verb, o] =
        add_hub_verb<FreezeOptions>(*group, action, "freeze", "No update begins until 'verge fleet thaw'",
                                    [](HubSession& hub, const FreezeOptions& f) { return set_freeze(hub, f, true); });
    verb->add_option("--reason", o->reason, "Why, for the others");
  }
  add_hub_verb<FreezeOptions>(*group, action, "thaw", "Updates may begin again",
                              [](HubSession& hub, const FreezeOptions& f) { return set_freeze(hub, f, false); });
}

}  // namespace verge::cli
