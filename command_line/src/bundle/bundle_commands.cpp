// verge bundle: updates in a file that is carried to devices without a network.
#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "../hub/verbs.hpp"
#include "bundle_content.hpp"
#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/wire/carried_bundle.hpp"
#include "verge/wire/reported_state.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct BundleOptions : HubOptions {
  std::string file, selector = "all", agent = "http://127.0.0.1:8600", token, ca_certificate;
  double timeout_s = 600;
  bool no_wait = false;
};

std::string size_text(std::uint64_t bytes) {
  return human_bytes(static_cast<double>(bytes));
}

Result<void> create(HubSession& hub, const BundleOptions& options) {
  VERGE_ASSIGN(const auto list,
               hub.read("/api/v1/devices?selector=" + encode(options.selector), wire::read_device_list));
  std::vector<std::string> names;
  for (const auto& device : list.devices) names.push_back(device.device);
  Progress progress;
  VERGE_ASSIGN(const auto made,
               write_bundle(hub, names, options.file, [&](const std::string& line) { progress.show(line); }));
  progress.clear();
  auto node = Node::map();
  node.add("file", Node::string(options.file));
  auto devices = Node::list();
  for (const auto& name : made.devices) devices.items.push_back(Node::string(name));
  node.add("devices", std::move(devices));
  node.add("blobs", Node::integer(made.blobs));
  node.add("size_bytes", Node::integer(static_cast<std::int64_t>(made.size_bytes)));
  show(options, node, [&] {
    return fmt::format("{} holds what {} should run ({} blobs, {}); on the device: verge bundle apply {}", options.file,
                       fmt::join(made.devices, ", "), made.blobs, size_text(made.size_bytes), options.file);
  });
  return {};
}

Result<void> inspect(const BundleOptions& options) {
  VERGE_ASSIGN(const auto reader, bundle::Reader::open(options.file));
  const auto& description = reader.description();
  show(options, wire::to_node(description), [&] {
    std::vector<std::vector<std::string>> rows{{"DEVICE", "APPLICATION", "VERSION", "DEPLOYMENT"}};
    for (const auto& device : description.devices) {
      for (const auto& wanted : device.applications) {
        rows.push_back({device.device, wanted.application, wanted.version, wanted.deployment});
      }
    }
    return fmt::format("{}\nmade {}, {}, from {}", table(rows), moment(description.created_ms),
                       size_text(reader.size_bytes()), description.hub_url.value_or("-"));
  });
  return {};
}

struct Agent {
  std::unique_ptr<http_client::Client> client;

  static Result<Agent> open(const BundleOptions& options) {
    http_client::ClientOptions client;
    client.base_url = options.agent;
    client.bearer_token = options.token;
    client.user_agent = "verge/" VERGE_VERSION;
    if (!options.ca_certificate.empty()) {
      VERGE_ASSIGN(client.ca_certificate, read_text(options.ca_certificate, std::uint64_t{1} << 20U));
    }
    Agent agent;
    VERGE_ASSIGN(agent.client, http_client::Client::create(std::move(client)));
    return agent;
  }
  Result<Node> send(const http_client::Call& call) const {
    VERGE_ASSIGN(const auto reply, client->send(call));
    if (reply.status >= 400) return http_client::error_of(reply);
    return wire::parse_json(reply.body, call.path);
  }
};

bool is_end(wire::UpdateState state) {
  return state == wire::UpdateState::committed || state == wire::UpdateState::rolled_back ||
         state == wire::UpdateState::refused || state == wire::UpdateState::failed;
}

/// The device's word on what the bundle asks of it.
struct Progressed {
  std::vector<std::vector<std::string>> rows{{"APPLICATION", "VERSION", "STATE", "REASON"}};
  bool ended = true;
  bool good = true;
  std::string text;
};

Progressed look(const wire::ReportedState& state, const wire::DesiredState& wanted) {
  Progressed progressed;
  for (const auto& one : wanted.applications) {
    const auto found = std::ranges::find(state.applications, one.application, &wire::ReportedApplication::application);
    const bool known =
        found != state.applications.end() && found->update && found->update->deployment == one.deployment;
    const auto now = known ? std::string(wire::name(found->update->state)) : std::string("pending");
    progressed.ended = progressed.ended && known && is_end(found->update->state);
    progressed.good = progressed.good && known && found->update->state == wire::UpdateState::committed;
    progressed.text += fmt::format("{}{}: {}", progressed.text.empty() ? "" : ", ", one.application, now);
    progressed.rows.push_back({one.application, one.version, now,
                               known && found->update->reason
                                   ? fmt::format("{} [{}]", found->update->reason->message, found->update->reason->id)
                                   : "-"});
  }
  return progressed;
}

Result<void> follow(const Agent& agent, const BundleOptions& options, const bundle::Reader& reader, Node node) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(options.timeout_s);
  Progress progress;
  for (;;) {
    VERGE_ASSIGN(const auto state, wire::read_reported_state(node, wire::Place("/status")));
    const auto* link = node.find("hub");
    const auto* named = link == nullptr ? nullptr : link->find("device");
    const auto& devices = reader.description().devices;
    const auto mine =
        named == nullptr ? devices.begin() : std::ranges::find(devices, named->text, &wire::DesiredState::device);
    if (mine == devices.end()) return Error(ErrorCode::not_found, "VRG-CLI-053", "the bundle is for another device");
    const auto now = look(state, *mine);
    const bool carried = link != nullptr && link->find("bundle") != nullptr;  // Until the agent is done with it.
    const bool over = (now.ended && !carried) || options.no_wait || std::chrono::steady_clock::now() >= end;
    if (!over) {
      progress.show(now.text);
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      http_client::Call call;
      call.path = "/status";
      VERGE_ASSIGN(node, agent.send(call));
      continue;
    }
    progress.clear();
    show(options, node, [&] { return table(now.rows); });
    if (options.no_wait || now.good) return {};
    if (!now.ended) {
      return Error(ErrorCode::deadline_exceeded, "VRG-CLI-054",
                   fmt::format("the device has not ended within {} s ({}); it goes on, as long as the bundle is there",
                               options.timeout_s, now.text));
    }
    return Error(ErrorCode::failed_precondition, "VRG-CLI-055",
                 fmt::format("the device did not take it: {}; what ran before goes on", now.text));
  }
}

Result<void> apply(const BundleOptions& options) {
  std::error_code error;
  const auto file = std::filesystem::absolute(options.file, error);
  VERGE_ASSIGN(const auto reader, bundle::Reader::open(file));
  VERGE_ASSIGN(const auto agent, Agent::open(options));
  wire::CarriedBundle carried;
  carried.file = file.string();
  http_client::Call call;
  call.method = "POST";
  call.path = "/bundle";
  call.body = wire::write_json_line(wire::to_node(carried));
  VERGE_ASSIGN(auto node, agent.send(call));
  return follow(agent, options, reader, std::move(node));
}

/// A verb that needs no hub.
CLI::App* add_verb(CLI::App& group, Action& action, const char* name, const char* help,
                   const std::shared_ptr<BundleOptions>& options, Result<void> (*run)(const BundleOptions&)) {
  auto* verb = group.add_subcommand(name, help);
  verb->add_option("FILE", options->file, "The bundle")->required();
  verb->add_option("--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->callback([options, &action, run] {
    action = [options, run] {
      const auto done = run(*options);
      return done ? 0 : report(done.error(), options->format());
    };
  });
  return verb;
}

}  // namespace

void add_bundle_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("bundle", "Carry updates to devices without a network, in a file");
  group->require_subcommand(1);
  auto [verb, options] =
      add_hub_verb<BundleOptions>(*group, action, "create", "Write what devices should run into a file", create);
  verb->add_option("FILE", options->file, "File to write")->required();
  verb->add_option("--to", options->selector, "Devices that it is for, as 'verge deploy' selects them")
      ->capture_default_str();
  add_verb(*group, action, "inspect", "Say what a bundle is for", std::make_shared<BundleOptions>(), inspect);
  auto on_device = std::make_shared<BundleOptions>();
  auto* use = add_verb(*group, action, "apply", "On a device: give the bundle to its agent, and follow the updates",
                       on_device, apply);
  use->add_option("--url", on_device->agent, "Where the agent's API is")->capture_default_str();
  use->add_option("--token", on_device->token, "A token of the agent's API, where it asks for one");
  use->add_option("--ca-certificate", on_device->ca_certificate, "Authority of an agent with https");
  use->add_option("--timeout", on_device->timeout_s, "Seconds to wait for the end")->capture_default_str();
  use->add_flag("--no-wait", on_device->no_wait, "Only hand it over");
}

}  // namespace verge::cli
