// verge agent package, push, releases, delete: releases of the agent.
#include <sys/utsname.h>

#include <fmt/format.h>

#include "push.hpp"
#include "verbs.hpp"
#include "verge/base/text.hpp"
#include "verge/wire/model_detail.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct PackageOptions {
  std::string tree, folder, version, architecture, description, output = "table";
};

struct ReleaseOptions : HubOptions {
  std::string folder, version;
};

const std::string kReleases = "/api/v1/models/" + std::string(package::kAgentName);

std::string this_architecture() {
  utsname names{};
  return ::uname(&names) == 0 ? names.machine : "";
}

Result<void> make(const PackageOptions& options) {
  wire::AgentRelease release;
  release.schema_version = 1;
  release.name = package::kAgentName;
  release.version = options.version;
  if (!options.description.empty()) release.description = options.description;
  if (options.architecture != "any") {
    release.requirements.emplace();
    release.requirements->architectures.push_back(options.architecture.empty() ? this_architecture()
                                                                               : options.architecture);
  }
  VERGE_ASSIGN(const auto made, package::make_release(options.tree, std::move(release), options.folder));
  std::uint64_t bytes = 0;
  for (const auto& file : made.files) bytes += file.size_bytes;
  if (options.output == "json") {
    Node node = Node::map();
    node.add("version", Node::string(made.release.version));
    node.add("digest", Node::string(made.digest));
    node.add("files", Node::integer(static_cast<std::int64_t>(made.files.size())));
    node.add("size_bytes", Node::integer(static_cast<std::int64_t>(bytes)));
    print(wire::write_json(node));
    return {};
  }
  print(fmt::format("{}: release {} of the agent, {} files, {}\n{}\nNext: verge agent push {}", options.folder,
                    made.release.version, made.files.size(), human_bytes(static_cast<double>(bytes)), made.digest,
                    options.folder));
  return {};
}

Result<void> push_release(HubSession& hub, const ReleaseOptions& options) {
  VERGE_ASSIGN(const auto release, package::open_release(options.folder));
  const auto shipment = shipment_of(release);
  Progress progress;
  VERGE_ASSIGN(const Pushed pushed, push(hub, shipment, progress));
  show(options, to_node(shipment, "agent", pushed), [&] { return text_of(shipment, pushed); });
  return {};
}

Result<void> list(HubSession& hub, const HubOptions& options) {
  wire::ModelDetail releases;
  auto node = hub.get(kReleases);
  if (!node && node.error().code() != ErrorCode::not_found) return std::move(node).error();
  if (node) {
    VERGE_ASSIGN(releases, wire::read_model_detail(*node, wire::Place("releases")));
  }
  show(options, node ? *node : wire::to_node(releases), [&] {
    std::vector<std::vector<std::string>> rows{{"RELEASE", "SIZE", "DEVICES", "PUSHED", "BY", "DIGEST"}};
    for (const auto& version : releases.versions) {
      rows.push_back({version.version, human_bytes(static_cast<double>(version.size_bytes)),
                      std::to_string(version.devices.value_or(0)), moment(version.created_ms),
                      version.created_by.value_or("-"), version.digest});
    }
    return rows.size() > 1 ? table(rows) : "No releases yet; 'verge agent package TREE FOLDER' makes one.";
  });
  return {};
}

}  // namespace

void add_release_verbs(CLI::App& agent, Action& action) {
  auto* verb = agent.add_subcommand(
      "package",
      "Make a release of the agent out of an installed tree\n\nExample:\n"
      "  cmake --install build/release --prefix tree\n  verge agent package tree release --version 1.2.0");
  auto options = std::make_shared<PackageOptions>();
  verb->add_option("TREE", options->tree, "Folder with bin/verge-agent and lib/…/verge")->required();
  verb->add_option("FOLDER", options->folder, "New folder for the release")->required();
  verb->add_option("--version", options->version, "Semantic version; builds for several processors differ behind '+'")
      ->required();
  verb->add_option("--architecture", options->architecture,
                   "As 'uname -m' says it on the device, or any; this machine's "
                   "when absent");
  verb->add_option("--description", options->description, "What is new");
  verb->add_option("--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->callback([options, &action] {
    action = [options] {
      const auto done = make(*options);
      return done ? 0 : report(done.error(), options->output == "json" ? Format::json : Format::table);
    };
  });
  {
    auto [push, o] =
        add_hub_verb<ReleaseOptions>(agent, action, "push",
                                     "Send a release of the agent to the hub\n\nExample:\n"
                                     "  verge agent push release\n  verge deploy verge-agent@1.2.0 --to site=plant1",
                                     push_release);
    push->add_option("FOLDER", o->folder, "From 'verge agent package'")->required();
  }
  add_hub_verb<HubOptions>(agent, action, "releases", "All releases of the agent on the hub", list);
  {
    auto [remove, o] =
        add_hub_verb<ReleaseOptions>(agent, action, "delete", "Delete a release that no device is to run",
                                     [](HubSession& hub, const ReleaseOptions& r) -> Result<void> {
                                       VERGE_TRY(hub.call("DELETE", kReleases + "/versions/" + encode(r.version)));
                                       return {};
                                     });
    remove->add_option("VERSION", o->version)->required();
  }
}

}  // namespace verge::cli
