// Verbs: how the commands that talk to a hub are declared.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "../commands.hpp"
#include "../output.hpp"
#include "session.hpp"
#include "verge/wire/deployment_list.hpp"
#include "verge/wire/device_list.hpp"

namespace verge::cli {

/// Options that every such command has.
struct HubOptions {
  std::string output = "table";
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

/// Adds a verb whose options are kept in a `Options` (a HubOptions), and which runs `command` with an open session.
template <typename Options>
std::pair<CLI::App*, std::shared_ptr<Options>> add_hub_verb(
    CLI::App& group, Action& action, const char* name, const char* help,
    std::function<Result<void>(HubSession&, const Options&)> command) {
  auto* verb = group.add_subcommand(name, help);
  auto options = std::make_shared<Options>();
  verb->add_option("--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->callback([verb, options, command, &action] {
    if (!verb->get_subcommands().empty()) return;  // Another verb follows, and has set its own action.

    action = [options, command] {
      auto session = HubSession::open();
      auto done = session ? command(*session, *options) : Result<void>(std::move(session).error());
      return done ? 0 : report(done.error(), options->format());
    };
  });
  return {verb, options};
}

/// Prints the node as JSON, or what `text` gives.
inline void show(const HubOptions& options, const wire::Node& node, const std::function<std::string()>& text) {
  print(options.format() == Format::json ? wire::write_json(node) : text());
}

/// Devices as a table.
[[nodiscard]] std::string device_table(const wire::DeviceList& list);
/// Deployments as a table.
[[nodiscard]] std::string deployment_table(const wire::DeploymentList& list);

void add_login_commands(CLI::App& app, Action& action);
void add_registry_verbs(CLI::App& hub, Action& action);
void add_release_verbs(CLI::App& agent, Action& action);
void add_model_commands(CLI::App& app, Action& action);
void add_application_commands(CLI::App& app, Action& action);
void add_device_commands(CLI::App& app, Action& action);
/// Behind add_device_commands(), whose group they join.
void add_telemetry_commands(CLI::App& app, Action& action);
void add_deploy_commands(CLI::App& app, Action& action);
void add_fleet_commands(CLI::App& app, Action& action);
/// Behind add_fleet_commands(), whose group they join.
void add_measured_commands(CLI::App& app, Action& action);
void add_trust_commands(CLI::App& app, Action& action);
void add_bundle_commands(CLI::App& app, Action& action);

}  // namespace verge::cli
