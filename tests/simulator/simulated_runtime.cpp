#include "simulated_runtime.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/at_rest/encrypted_file.hpp"
#include "verge/package/agent_release.hpp"

namespace verge::simulator {

std::optional<std::string> decrypted(const std::string& stored, const at_rest::DataKeys& keys) {
  const auto bytes = std::as_bytes(std::span(stored));
  auto reader = at_rest::Reader::open({bytes.size(),
                                       [bytes](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
                                         const auto from = bytes.subspan(static_cast<std::size_t>(offset), into.size());
                                         std::ranges::copy(from, into.begin());
                                         return {};
                                       }},
                                      keys);
  if (!reader) return std::nullopt;
  std::string content(static_cast<std::size_t>(reader->size_bytes()), '\0');
  if (!reader->read(0, std::as_writable_bytes(std::span(content)))) return std::nullopt;
  return content;
}

wire::DeviceReport SimulatedRuntime::device() {
  wire::DeviceReport report;
  wire::EngineReport engine;
  engine.name = "litert";
  engine.version = "2.3";
  report.engines = {engine};
  report.memory_available_bytes = std::int64_t{1} << 30;
  report.disk_free_bytes = std::int64_t{1} << 30;
  return report;
}

Result<std::vector<update::ModelTrial>> SimulatedRuntime::try_out(const update::VerifiedApplication& candidate) {
  const Version& version = checked(candidate);
  if (chance_.one_in(fault_every)) {
    return Error(ErrorCode::unavailable, "VRG-AGT-005", "cannot start a process");
  }
  update::ModelTrial trial;
  trial.model = version.desired.application;
  trial.golden_samples = 4;
  trial.golden_passed = version.quality == Quality::wrong_golden ? 3 : 4;
  trial.latency_ms = version.quality == Quality::slow ? 50 : 2;
  trial.memory_bytes = version.quality == Quality::large ? std::uint64_t{1} << 30U : 1000;
  clock_.pass(500);
  if (candidate.is_agent()) did_not_last_.erase(version.desired.digest);  // Asked for anew.
  return std::vector{trial};
}

Result<void> SimulatedRuntime::switch_to(const update::VerifiedApplication& application) {
  const Version& version = checked(application);
  if (chance_.one_in(fault_every)) throw Crash{};
  if (application.is_agent()) return switch_agent(version);
  if (version.quality == Quality::crashes_at_load) throw Crash{};
  if (version.quality == Quality::fails_to_load) {
    return Error(ErrorCode::internal, "VRG-ENG-016", "the engine does not like it");
  }
  running[application.pointer().application] = {version.desired.digest, clock_.steady_ms()};
  switched.emplace_back(application.pointer().application, version.desired.digest);
  return {};
}

Result<void> SimulatedRuntime::switch_agent(const Version& version) {
  next.reset();
  const auto& digest = version.desired.digest;
  if (digest == own) {
    running[version.desired.application] = {digest, started_ms_};
    return {};
  }
  if (did_not_last_.contains(digest)) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-101", "was started and did not last");
  }
  if (version.quality == Quality::fails_to_load) {
    return Error(ErrorCode::internal, "VRG-ENG-016", "cannot be installed");
  }
  next = digest;
  return {};
}

void SimulatedRuntime::end(const std::string& application) {
  running.erase(application);
  if (application != package::kAgentName) return;
  next.reset();
  if (!own.empty()) next = "";
}

void SimulatedRuntime::start_agent(const std::string& active, const std::string& previous) {
  running.clear();
  next.reset();
  own.clear();
  started_ms_ = clock_.steady_ms();
  if (active.empty()) return;
  for (const auto& digest : {active, previous}) {
    if (digest.empty() || did_not_last_.contains(digest)) continue;
    const Version* version = hub_.by_digest(digest);
    if (version == nullptr || version->quality == Quality::unsigned_)
      throw Violation{"a release is started that was never signed"};
    if (version->quality != Quality::crashes_at_load) {
      own = digest;
      return;
    }
    did_not_last_.insert(digest);
  }
}

std::vector<update::LiveModel> SimulatedRuntime::live(const std::string& application) {
  const auto found = running.find(application);
  if (found == running.end()) {
    // The agent of the system, before the first release: what is served is well.
    if (application == package::kAgentName) return {{"served", (clock_.steady_ms() - started_ms_) / 10, 0, 2, 2, {}}};
    return {};
  }
  const Version& version = *hub_.by_digest(found->second.digest);
  const auto requests = (clock_.steady_ms() - found->second.since_ms) / 10;
  const bool fails = version.quality == Quality::fails_live;
  const double p50 = version.quality == Quality::slow_live ? 50 : 2;
  const auto name = application == package::kAgentName ? "served" : application;
  return {{name, requests, fails ? requests / 2 : 0, p50, p50, {}}};
}

bool SimulatedRuntime::has(const std::string& path, const std::string& content) const {
  const auto* const there = disk_.peek(path);
  if (there == nullptr || keys == nullptr) return there != nullptr && *there == content;
  return decrypted(*there, *keys) == content;
}

const Version& SimulatedRuntime::checked(const update::VerifiedApplication& application) {
  const auto& pointer = application.pointer();
  const Version* version = hub_.by_digest(pointer.digest);
  if (version == nullptr || version->quality == Quality::unsigned_ ||
      version->desired.application != pointer.application || version->desired.version != pointer.version) {
    throw Violation{
        fmt::format("{} {} ({}) is run and was never signed", pointer.application, pointer.version, pointer.digest)};
  }
  if (application.is_agent()) {
    for (const auto& file : application.packages().front().files) {
      if (!has("/" + file.stored, version->files.at(file.path))) {
        throw Violation{fmt::format("release {} of the agent is run with a damaged '{}'", pointer.version, file.path)};
      }
    }
    return *version;
  }
  const auto& folder = application.packages().front().folder;
  for (const auto& [path, content] : version->files) {
    const auto name = fmt::format("/{}/{}", folder, path);
    if (!has(name, content)) {
      throw Violation{fmt::format("{} {} is run with {} '{}'", pointer.application, pointer.version,
                                  disk_.peek(name) == nullptr ? "a missing" : "a damaged", path)};
    }
  }
  return *version;
}

}  // namespace verge::simulator
