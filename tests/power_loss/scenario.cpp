#include "scenario.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "verge/crypto/sha256.hpp"
#include "verge/wire/device_pointer.hpp"
#include "verge/wire/update_record.hpp"

namespace verge::power_loss {
namespace {

using simulator::Quality;

const simulator::Version* find_version(const simulator::Hub& from, const std::string& model, Quality quality, int nth) {
  for (const auto& one : from.versions()) {
    if (one.desired.application == model && one.quality == quality && nth-- == 0) return &one;
  }
  return nullptr;
}

const simulator::Version& version(const simulator::Hub& from, const std::string& model, Quality quality, int nth = 0) {
  return *find_version(from, model, quality, nth);
}

/// Whether there is a delta between two good versions that spares most of the file.
bool has_delta(const simulator::Hub& from, const std::string& model, int old, int fresh) {
  const auto* before = find_version(from, model, Quality::good, old);
  const auto* after = find_version(from, model, Quality::good, fresh);
  for (const auto& offer : from.deltas(after->desired.digest)) {
    const bool fits =
        std::ranges::any_of(before->files, [&](const auto& file) { return crypto::sha256(file.second) == offer.from; });
    if (fits && from.blob(offer.to)->size() > std::max<std::uint64_t>(4096, offer.size_bytes * 3)) return true;
  }
  return false;
}

/// With few versions, so that its metadata are quick to read, and those among them that the scenarios need.
simulator::Hub make_hub() {
  // The update of the scenarios is one by delta.
  for (std::uint64_t seed = 1;; ++seed) {
    Chance chance(seed);
    auto made = simulator::Hub::make(chance, 2, 16, kBegin_ms / 1000);
    const auto has = [&](const char* model, Quality quality, int nth) {
      return find_version(made, model, quality, nth) != nullptr;
    };
    if (has("model0", Quality::good, 2) && has("model0", Quality::fails_live, 0) &&
        has("model0", Quality::wrong_golden, 0) && has("model1", Quality::good, 0) &&
        has("model1", Quality::fails_live, 0) && has_delta(made, "model0", 1, 2)) {
      return made;
    }
  }
}

/// Builds a device step by step, and keeps the disk as it is between two of them.
class Preparation {
 public:
  Preparation(const simulator::Hub& from, DiskImage disk) : from_(from), disk_(std::move(disk)) {}

  void want(const simulator::Version& version) {
    auto wanted = version.desired;
    wanted.deployment = fmt::format("d{}", ++deployments_);
    wire::WatchPolicy watch;
    watch.duration_s = 1;
    watch.min_requests = 1;
    wanted.watch = watch;
    std::erase_if(desired_.applications, [&](const auto& other) { return other.application == wanted.application; });
    desired_.applications.push_back(wanted);
    desired_.version += 1;
    desired_.device = "device";
  }
  void run() {
    ModelledDisk disk(disk_);
    DeviceLife life(from_, disk);
    life.want(desired_);
    life.run_to_end();
    disk_ = disk.image();
  }
  void commit(const simulator::Version& version) {
    want(version);
    run();
  }
  [[nodiscard]] Scenario scenario(std::string name, std::string application, std::string end) const {
    Scenario made;
    made.name = std::move(name);
    made.before = disk_;
    made.wanted = desired_;
    made.application = std::move(application);
    made.end = std::move(end);
    for (const auto& wanted : desired_.applications) made.runs[wanted.application] = wanted.digest;
    return made;
  }
  void drop(const std::string& application) {
    std::erase_if(desired_.applications, [&](const auto& other) { return other.application == application; });
    desired_.version += 1;
  }

 private:
  const simulator::Hub& from_;
  DiskImage disk_;
  wire::DesiredState desired_;
  int deployments_ = 0;
};

struct World {
  simulator::Hub hub;
  std::vector<Scenario> scenarios;
};

/// `kind` stands before each scenario's name.
void add_scenarios(World& world, const std::string& kind, const DiskImage& first) {
  const auto& from = world.hub;
  const auto good = [&](int nth) { return version(from, "model0", Quality::good, nth); };
  Preparation device(from, first);
  device.want(good(0));
  world.scenarios.push_back(device.scenario(kind + "join", "model0", "committed"));
  device.run();
  Preparation without_before = device;
  without_before.want(version(from, "model1", Quality::fails_live));
  world.scenarios.push_back(without_before.scenario(kind + "first_rollback", "model1", "rolled_back"));
  world.scenarios.back().runs.erase("model1");
  device.commit(version(from, "model1", Quality::good));
  device.commit(good(1));
  // With a version before the active one: the update removes what only that one needs.
  struct Next {
    const char* name;
    Quality quality;
    int nth;
    const char* end;
  };
  for (const auto& next :
       {Next{"update", Quality::good, 2, "committed"}, Next{"rollback", Quality::fails_live, 0, "rolled_back"},
        Next{"refusal", Quality::wrong_golden, 0, "refused"}}) {
    Preparation updated = device;
    updated.want(version(from, "model0", next.quality, next.nth));
    auto made = updated.scenario(kind + next.name, "model0", next.end);
    if (made.end != "committed") made.runs["model0"] = good(1).desired.digest;
    world.scenarios.push_back(std::move(made));
  }
  device.drop("model0");
  world.scenarios.push_back(device.scenario(kind + "removal", "model0", ""));
}

World make_world() {
  World world{make_hub(), {}};
  add_scenarios(world, "", {});
  DiskImage marked;
  marked.folders.insert("/at_rest");
  marked.files[kEncryptedMark] = std::make_shared<const std::string>("the keys are elsewhere");
  add_scenarios(world, "encrypted_", marked);
  world.hub.sign_anew(kBegin_ms / 1000);
  return world;
}

const World& world() {
  static const World made = make_world();
  return made;
}

std::string without_what_differs(const std::string& path, const std::string& text) {
  const auto node = wire::parse_json(text, path);
  if (!node) return text;
  if (path.ends_with("/update.json")) {
    auto record = wire::read_update_record(*node, wire::Place(path));
    if (!record) return text;
    record->desired.deployment = record->progress.deployment = "d";
    record->starts = record->attempts = record->retry_at_ms = 0;
    record->baseline.clear();
    auto& progress = record->progress;
    if (progress.reason) progress.reason->message = "text";
    progress.bytes_fetched.reset();
    progress.bytes_reused.reset();
    progress.bytes_spared.reset();
    progress.numbers.clear();
    progress.timeline.clear();
    return wire::write_json(wire::to_node(*record));
  }
  auto desired = wire::read_desired_state(*node, wire::Place(path));
  if (!desired) return text;
  desired->version = 0;
  for (auto& application : desired->applications) application.deployment = "d";
  return wire::write_json(wire::to_node(*desired));
}

}  // namespace

const simulator::Hub& hub() {
  return world().hub;
}

const std::vector<Scenario>& scenarios() {
  return world().scenarios;
}

const Scenario& scenario(const std::string& name) {
  return *std::ranges::find(scenarios(), name, &Scenario::name);
}

std::map<std::string, std::string> final_state(const DiskImage& image) {
  std::map<std::string, std::string> state;
  std::map<const std::string*, std::string> first_names;
  const bool encrypted = image.files.contains(kEncryptedMark);
  for (const auto& folder : image.folders) state[folder + "/"] = "";
  for (const auto& [path, content] : image.files) {
    const bool differs = path.ends_with("/update.json") || path == "/desired.json";
    state[path] = differs ? without_what_differs(path, *content) : *content;
    if (encrypted && path.starts_with("/store/")) {
      state[path] = simulator::decrypted(*content, store_keys()).value_or("does not open");
    }
    const auto& first = first_names.emplace(content.get(), path).first->second;
    if (first != path) state[path] = "the same file as " + first;
  }
  return state;
}

std::string difference(const std::map<std::string, std::string>& expected,
                       const std::map<std::string, std::string>& got) {
  for (const auto& [path, content] : got) {
    const auto found = expected.find(path);
    if (found == expected.end()) return "stray: " + path;
    if (found->second != content) {
      return fmt::format("{}: expected {} bytes '{:.900}', got {} bytes '{:.900}'", path, found->second.size(),
                         found->second, content.size(), content);
    }
  }
  for (const auto& [path, content] : expected) {
    if (!got.contains(path)) return "missing: " + path;
  }
  return {};
}

bool is_settled(const Scenario& scenario, const DiskImage& image) {
  const auto folder = "/applications/" + scenario.application;
  if (scenario.end.empty()) return !image.folders.contains(folder);
  const auto read = [&](const std::string& name) -> Result<wire::Node> {
    const auto found = image.files.find(folder + name);
    return wire::parse_json(found == image.files.end() ? std::string() : *found->second, name);
  };
  const auto wanted =
      std::ranges::find(scenario.wanted.applications, scenario.application, &wire::DesiredApplication::application);
  if (const auto node = read("/active.json"); node && scenario.end == "committed") {
    const auto pointer = wire::read_device_pointer(*node, wire::Place("active.json"));
    if (pointer && pointer->digest == wanted->digest) return true;
  }
  const auto node = read("/update.json");
  if (!node) return false;
  const auto record = wire::read_update_record(*node, wire::Place("update.json"));
  return record && record->desired.deployment == wanted->deployment && wire::name(record->step) == scenario.end;
}

}  // namespace verge::power_loss
