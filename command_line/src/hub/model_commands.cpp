// verge model, app.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "push.hpp"
#include "verbs.hpp"
#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/wire/application.hpp"
#include "verge/wire/application_detail.hpp"
#include "verge/wire/application_list.hpp"
#include "verge/wire/model_detail.hpp"
#include "verge/wire/model_list.hpp"
#include "verge/wire/version_floor.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct ModelOptions : HubOptions {
  std::string name, version, path;
};

Result<void> push_model(HubSession& hub, const ModelOptions& options) {
  VERGE_ASSIGN(const auto scratch, TemporaryFolder::create("verge-push-"));
  VERGE_ASSIGN(const auto package, package::open(options.path, scratch.path()));
  const auto shipment = shipment_of(package);
  Progress progress;
  VERGE_ASSIGN(const Pushed pushed, push(hub, shipment, progress));
  show(options, to_node(shipment, "model", pushed), [&] { return text_of(shipment, pushed); });
  return {};
}

Result<void> list_models(HubSession& hub, const HubOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/models"));
  VERGE_ASSIGN(const auto list, wire::read_model_list(node, wire::Place("models")));
  show(options, node, [&] {
    std::vector<std::vector<std::string>> rows{{"MODEL", "NEWEST", "VERSIONS", "DEVICES", "FLOOR"}};
    for (const auto& model : list.models) {
      rows.push_back({model.name, model.newest, fmt::format("{}", fmt::join(model.versions, ", ")),
                      std::to_string(model.devices.value_or(0)), model.floor.value_or("-")});
    }
    return rows.size() > 1 ? table(rows) : "No models yet; 'verge model push FOLDER' sends one.";
  });
  return {};
}

Result<void> show_model(HubSession& hub, const ModelOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/models/" + encode(options.name)));
  VERGE_ASSIGN(const auto model, wire::read_model_detail(node, wire::Place("model")));
  show(options, node, [&] {
    std::vector<std::vector<std::string>> rows{{"VERSION", "SIZE", "DEVICES", "PUSHED", "BY", "DELTAS", "DIGEST"}};
    for (const auto& version : model.versions) {
      std::vector<std::string> deltas;
      for (const auto& delta : version.deltas) {
        deltas.push_back(fmt::format("from {}: {}", delta.from, human_bytes(static_cast<double>(delta.size_bytes))));
      }
      rows.push_back({version.version, human_bytes(static_cast<double>(version.size_bytes)),
                      std::to_string(version.devices.value_or(0)), moment(version.created_ms),
                      version.created_by.value_or("-"),
                      deltas.empty() ? "-" : fmt::format("{}", fmt::join(deltas, ", ")), version.digest});
    }
    return table(rows);
  });
  return {};
}

Result<void> set_floor(HubSession& hub, const ModelOptions& options) {
  wire::VersionFloor floor;
  floor.version = options.version;
  VERGE_ASSIGN(const Node node, hub.call("PUT", "/api/v1/models/" + encode(options.name) + "/floor",
                                         wire::write_json_line(wire::to_node(floor))));
  show(options, node,
       [&] { return fmt::format("No version of {} below {} is installed any more", options.name, options.version); });
  return {};
}

Result<void> create_application(HubSession& hub, const ModelOptions& options) {
  VERGE_ASSIGN(const Node document, wire::read_document(options.path));
  // Read here, so that a complaint can name the file's line.
  VERGE_ASSIGN(const auto application, wire::read_application(document, wire::Place(options.path)));
  VERGE_ASSIGN(const Node node,
               hub.call("POST", "/api/v1/applications", wire::write_json_line(wire::to_node(application))));
  VERGE_ASSIGN(const auto made, wire::read_application_version_info(node, wire::Place("application")));
  show(options, node, [&] {
    return fmt::format("Application {} {} is on the hub: {} models\n{}", application.name, made.version,
                       application.models.size(), made.digest);
  });
  return {};
}

Result<void> list_applications(HubSession& hub, const HubOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/applications"));
  VERGE_ASSIGN(const auto list, wire::read_application_list(node, wire::Place("applications")));
  show(options, node, [&] {
    std::vector<std::vector<std::string>> rows{{"APPLICATION", "NEWEST", "VERSIONS", "FLOOR"}};
    for (const auto& application : list.applications) {
      rows.push_back({application.name, application.newest, fmt::format("{}", fmt::join(application.versions, ", ")),
                      application.floor.value_or("-")});
    }
    return rows.size() > 1 ? table(rows) : "No applications yet; a lone model is deployed without one.";
  });
  return {};
}

Result<void> show_application(HubSession& hub, const ModelOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/applications/" + encode(options.name)));
  VERGE_ASSIGN(const auto application, wire::read_application_detail(node, wire::Place("application")));
  show(options, node, [&] {
    std::string text;
    for (const auto& version : application.versions) {
      text += fmt::format("{}{} {}  {}\n", text.empty() ? "" : "\n", application.name, version.version, version.digest);
      text += wire::write_yaml(wire::to_node(version.document));
    }
    return text;
  });
  return {};
}

}  // namespace

void add_model_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("model", "Push models to the hub and look at them there");
  group->require_subcommand(1);
  {
    auto [verb, o] = add_hub_verb<ModelOptions>(*group, action, "push",
                                                "Send a model package to the hub\n\nExample:\n"
                                                "  verge model push models/efficientnet_lite0",
                                                push_model);
    verb->add_option("PACKAGE", o->path, "Package folder, or layout[:VERSION]")->required();
  }
  add_hub_verb<HubOptions>(*group, action, "list", "All models", list_models);
  {
    auto [verb, o] = add_hub_verb<ModelOptions>(*group, action, "show", "One model with its versions", show_model);
    verb->add_option("MODEL", o->name)->required();
  }
  {
    auto [verb, o] = add_hub_verb<ModelOptions>(*group, action, "floor",
                                                "Set the smallest version that devices may install", set_floor);
    verb->add_option("MODEL", o->name, "Model or application")->required();
    verb->add_option("VERSION", o->version)->required();
  }
  {
    auto [verb, o] = add_hub_verb<ModelOptions>(
        *group, action, "delete", "Delete a version that no device is to run",
        [](HubSession& hub, const ModelOptions& m) -> Result<void> {
          VERGE_TRY(hub.call("DELETE", "/api/v1/models/" + encode(m.name) + "/versions/" + encode(m.version)));
          return {};
        });
    verb->add_option("MODEL", o->name)->required();
    verb->add_option("VERSION", o->version)->required();
  }
}

void add_application_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("app", "Applications: models and pipelines that are switched as one");
  group->require_subcommand(1);
  {
    auto [verb, o] = add_hub_verb<ModelOptions>(*group, action, "create",
                                                "Send an application to the hub\n\nExample:\n"
                                                "  verge app create application.yaml",
                                                create_application);
    verb->add_option("FILE", o->path, "application.yaml")->required();
  }
  add_hub_verb<HubOptions>(*group, action, "list", "All applications", list_applications);
  {
    auto [verb, o] =
        add_hub_verb<ModelOptions>(*group, action, "show", "One application with its versions", show_application);
    verb->add_option("APPLICATION", o->name)->required();
  }
}

}  // namespace verge::cli
