// Models and applications: versions, floors.
#include <algorithm>

#include <fmt/format.h>

#include "core.hpp"
#include "deploying.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/package/requirements.hpp"

namespace verge::hub {
namespace {

std::map<std::string, std::vector<VersionRecord>> by_name(Transaction& store, std::string_view kind) {
  std::map<std::string, std::vector<VersionRecord>> groups;
  for (auto& version : store.versions()) {
    if (version.kind == kind) groups[version.name].push_back(std::move(version));
  }
  for (auto& [name, versions] : groups) {
    std::ranges::sort(versions, [](const auto& a, const auto& b) { return compare(a.version, b.version) > 0; });
  }
  return groups;
}

/// Of an application, or of what is no application: a model, or the agent.
std::vector<VersionRecord> sorted_versions(Transaction& store, bool application, const std::string& name) {
  auto versions = store.versions_of(name);
  std::erase_if(versions, [&](const VersionRecord& version) { return (version.kind == "application") != application; });
  std::ranges::sort(versions, [](const auto& a, const auto& b) { return compare(a.version, b.version) > 0; });
  return versions;
}

/// Devices that serve each model, or run a release of the agent, by name and by name and version.
std::map<std::string, std::int64_t> serving(Transaction& store) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& device : store.devices()) {
    if (device.revoked_ms > 0) continue;
    std::set<std::string> seen;
    const auto report = report_of(device);
    for (const auto& model : report.models) {
      seen.insert(model.name);
      seen.insert(model.name + " " + model.version);
    }
    if (const auto agent = reported_application(report, std::string(package::kAgentName)); agent && agent->active) {
      seen.insert(agent->application);
      seen.insert(agent->application + " " + agent->active->version);
    }
    for (const auto& key : seen) ++counts[key];
  }
  return counts;
}

std::optional<std::string> floor_of(const std::map<std::string, std::string>& floors, const std::string& name) {
  const auto found = floors.find(name);
  if (found == floors.end()) return std::nullopt;
  return found->second;
}

/// Requirements of all models together: what one device must have to run them all.
void add_requirements(wire::Requirements& sum, const wire::Requirements& more) {
  const auto narrow = [](std::vector<std::string>& allowed, const std::vector<std::string>& by) {
    if (by.empty()) return;
    if (allowed.empty()) {
      allowed = by;
      return;
    }
    auto both = allowed;
    std::erase_if(both, [&](const std::string& one) { return std::ranges::find(by, one) == by.end(); });
    if (!both.empty()) allowed = both;  // Nothing in common: each model is checked on its own as well.
  };
  narrow(sum.device_types, more.device_types);
  narrow(sum.architectures, more.architectures);
  for (const auto& engine : more.engines) {
    const auto there = std::ranges::find(sum.engines, engine.name, &wire::EngineRequirement::name);
    if (there == sum.engines.end()) {
      sum.engines.push_back(engine);
    } else if (engine.min_version && compare(there->min_version.value_or("0"), *engine.min_version) < 0) {
      there->min_version = engine.min_version;
    }
  }
  sum.memory_bytes += more.memory_bytes;
}

Error exists_as(const std::string& name, const std::string& kind, const std::string& other) {
  return Error(ErrorCode::already_exists, "VRG-HUB-022",
               fmt::format("'{}' is the name of a {} already, and cannot be that of a {}; choose another name", name,
                           kind, other));
}

}  // namespace

wire::ApplicationVersionInfo application_info(const VersionRecord& version,
                                              const std::map<std::string, std::string>& floors) {
  wire::ApplicationVersionInfo info;
  info.version = version.version;
  info.digest = version.digest;
  info.target = target_path(version);
  info.created_ms = version.created_ms;
  info.created_by = version.created_by;
  info.custom = custom_of(version, floors);
  info.document = read_own<wire::Application>(version.document, wire::read_application);
  return info;
}

Result<void> put_floor(Core& core, Change& change, const Principal& caller, const std::string& name,
                       const std::string& version) {
  if (change.store.versions_of(name).empty()) return unknown("model or application", name);
  change.store.set_floor(name, version);
  change.targets = true;
  core.event(change.store, caller, "floor.set", name, version.empty() ? "none" : version);
  return {};
}

Result<wire::ApplicationVersionInfo> put_application(Core& core, Change& change, const Principal& caller,
                                                     const wire::Application& application, bool& added) {
  wire::Application filled = application;
  VersionRecord record;
  wire::TargetCustom custom;
  wire::Requirements requirements;
  for (auto& model : filled.models) {
    const auto version = change.store.version(model.model, model.version);
    if (!version || version->kind != "model") {
      return Error(ErrorCode::not_found, "VRG-HUB-025",
                   fmt::format("the application '{}' {} names the model '{}' {}, which this hub does not have; push it "
                               "first: verge model push",
                               filled.name, filled.version, model.model, model.version));
    }
    if (model.digest && *model.digest != version->digest) {
      return Error(
          ErrorCode::data_loss, "VRG-HUB-026",
          fmt::format("expected the model '{}' {} with the digest {}, got {} on this hub; correct the application "
                      "or leave the digest out",
                      model.model, model.version, *model.digest, version->digest));
    }
    model.digest = version->digest;
    const auto own = custom_of(*version, {});
    add_requirements(requirements, own.requirements.value_or(wire::Requirements{}));
    custom.disk_bytes += own.disk_bytes;
  }
  custom.kind = wire::TargetKind::application;
  custom.name = filled.name;
  custom.version = filled.version;
  custom.requirements = requirements;
  record.kind = "application";
  record.name = filled.name;
  record.version = filled.version;
  record.document = wire::write_json_line(wire::to_node(filled));
  record.custom = wire::write_json_line(wire::to_node(custom));
  record.content_bytes = static_cast<std::int64_t>(record.document.size());
  record.size_bytes = custom.disk_bytes;
  record.created_ms = core.now();
  record.created_by = caller.who();
  const auto others = change.store.versions_of(filled.name);
  if (!others.empty() && others.front().kind != "application") {
    return exists_as(filled.name, others.front().kind, "application");
  }
  if (filled.name == package::kAgentName) return exists_as(filled.name, "agent", "application");
  VERGE_ASSIGN(record.digest, core.blobs.write(record.document));
  const auto floors = change.store.floors();
  if (const auto there = change.store.version(filled.name, filled.version)) {
    if (there->digest == record.digest) return application_info(*there, floors);
    return Error(
        ErrorCode::already_exists, "VRG-HUB-023",
        fmt::format("'{}' {} is on this hub with another content ({}, got {}); versions do not change: give the new "
                    "one a higher version",
                    filled.name, filled.version, there->digest, record.digest));
  }
  change.store.add(record);
  change.targets = true;
  added = true;
  core.event(change.store, caller, "application.create", filled.name + " " + filled.version, record.digest);
  return application_info(record, floors);
}

Result<wire::ModelList> Hub::models(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::ModelList>([&](Transaction& store) -> Result<wire::ModelList> {
    wire::ModelList list;
    const auto floors = store.floors();
    auto counts = serving(store);
    for (const auto& [name, versions] : by_name(store, "model")) {
      wire::ModelSummary model;
      model.name = name;
      for (const auto& version : versions) model.versions.push_back(version.version);
      VERGE_ASSIGN(const auto newest, newest_version(store, name));
      model.newest = newest.version;
      model.floor = floor_of(floors, name);
      model.devices = counts[name];
      list.models.push_back(std::move(model));
    }
    return list;
  });
}

Result<wire::ModelDetail> Hub::model(const Principal& caller, const std::string& name) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::ModelDetail>([&](Transaction& store) -> Result<wire::ModelDetail> {
    wire::ModelDetail model;
    model.name = name;
    const auto floors = store.floors();
    auto counts = serving(store);
    model.floor = floor_of(floors, name);
    for (const auto& record : sorted_versions(store, false, name)) {
      wire::ModelVersionInfo version;
      version.version = record.version;
      version.digest = record.digest;
      version.target = target_path(record);
      version.repository = record.repository;
      version.size_bytes = record.size_bytes;
      version.created_ms = record.created_ms;
      version.created_by = record.created_by;
      version.custom = custom_of(record, floors);
      version.devices = counts[name + " " + record.version];
      version.deltas = Deltas::to_version(store, record.digest);
      model.versions.push_back(std::move(version));
    }
    if (model.versions.empty()) return unknown("model", name);
    return model;
  });
}

Result<void> Hub::delete_model_version(const Principal& caller, const std::string& name, const std::string& version) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  std::string digest;
  VERGE_TRY(core_->change_only([&](Change& change) -> Result<void> {
    const auto record = change.store.version(name, version);
    if (!record || record->kind == "application") return unknown("model version", name + " " + version);
    const auto in_use = [&](const std::string& by) {
      return Error(ErrorCode::failed_precondition, "VRG-HUB-027",
                   fmt::format("'{}' {} cannot be deleted: {}; deploy another version there first, or remove it", name,
                               version, by));
    };
    for (const auto& wanted : change.store.all_desired()) {
      if (wanted.digest == record->digest) return in_use("the device '" + wanted.device + "' is to run it");
    }
    for (const auto& waiting : change.store.waiting()) {
      if (waiting.digest == record->digest)
        return in_use(fmt::format("the deployment d-{} waits with it", waiting.number));
    }
    for (const auto& other : change.store.versions()) {
      if (other.document.find(record->digest) != std::string::npos) {
        return in_use(fmt::format("the application '{}' {} names it", other.name, other.version));
      }
    }
    digest = record->digest;
    change.store.remove_version(record->kind, name, version);
    change.store.remove_manifest(record->repository, record->digest);
    change.targets = true;
    core_->event(change.store, caller, record->kind + ".delete", name + " " + version, record->digest);
    return {};
  }));
  core_->sweep(digest);
  return {};
}

Result<wire::VersionFloor> Hub::set_floor(const Principal& caller, const std::string& name,
                                          const wire::VersionFloor& floor) {
  VERGE_TRY(check_right(caller, wire::Right::deploy));
  return core_->change<wire::VersionFloor>([&](Change& change) -> Result<wire::VersionFloor> {
    VERGE_TRY(put_floor(*core_, change, caller, name, floor.version.value_or("")));
    return floor;
  });
}

Result<Hub::AddedApplication> Hub::add_application(const Principal& caller, const wire::Application& application) {
  VERGE_TRY(check_right(caller, wire::Right::publish));
  return core_->change<AddedApplication>([&](Change& change) -> Result<AddedApplication> {
    AddedApplication answer;
    VERGE_ASSIGN(answer.info, put_application(*core_, change, caller, application, answer.added));
    return answer;
  });
}

Result<wire::ApplicationList> Hub::applications(const Principal& caller) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::ApplicationList>([&](Transaction& store) -> Result<wire::ApplicationList> {
    wire::ApplicationList list;
    const auto floors = store.floors();
    for (const auto& [name, versions] : by_name(store, "application")) {
      wire::ApplicationSummary application;
      application.name = name;
      for (const auto& version : versions) application.versions.push_back(version.version);
      VERGE_ASSIGN(const auto newest, newest_version(store, name));
      application.newest = newest.version;
      application.floor = floor_of(floors, name);
      list.applications.push_back(std::move(application));
    }
    return list;
  });
}

Result<wire::ApplicationDetail> Hub::application(const Principal& caller, const std::string& name) {
  VERGE_TRY(check_right(caller, wire::Right::read));
  return core_->read<wire::ApplicationDetail>([&](Transaction& store) -> Result<wire::ApplicationDetail> {
    wire::ApplicationDetail application;
    application.name = name;
    const auto floors = store.floors();
    application.floor = floor_of(floors, name);
    for (const auto& record : sorted_versions(store, true, name)) {
      application.versions.push_back(application_info(record, floors));
    }
    if (application.versions.empty()) return unknown("application", name);
    return application;
  });
}

}  // namespace verge::hub
