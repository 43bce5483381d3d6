#include "simulated_runtime.hpp"

#include <fmt/format.h>

namespace verge::simulator {

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
  return std::vector{trial};
}

Result<void> SimulatedRuntime::switch_to(const update::VerifiedApplication& application) {
  const Version& version = checked(application);
  if (chance_.one_in(fault_every)) throw Crash{};
  if (version.quality == Quality::crashes_at_load) throw Crash{};
  if (version.quality == Quality::fails_to_load) {
    return Error(ErrorCode::internal, "VRG-ENG-016", "the engine does not like it");
  }
  running[application.pointer().application] = {version.desired.digest, clock_.steady_ms()};
  switched.emplace_back(application.pointer().application, version.desired.digest);
  return {};
}

std::vector<update::LiveModel> SimulatedRuntime::live(const std::string& application) {
  const auto found = running.find(application);
  if (found == running.end()) return {};
  const Version& version = *hub_.by_digest(found->second.digest);
  const auto requests = (clock_.steady_ms() - found->second.since_ms) / 10;
  const bool fails = version.quality == Quality::fails_live;
  const double p50 = version.quality == Quality::slow_live ? 50 : 2;
  return {{application, requests, fails ? requests / 2 : 0, p50, p50, {}}};
}

const Version& SimulatedRuntime::checked(const update::VerifiedApplication& application) {
  const auto& pointer = application.pointer();
  const Version* version = hub_.by_digest(pointer.digest);
  if (version == nullptr || version->quality == Quality::unsigned_ ||
      version->desired.application != pointer.application || version->desired.version != pointer.version) {
    throw Violation{
        fmt::format("{} {} ({}) is run and was never signed", pointer.application, pointer.version, pointer.digest)};
  }
  const auto& folder = application.packages().front().folder;
  for (const auto& [path, content] : version->files) {
    const auto* there = disk_.peek(fmt::format("/{}/{}", folder, path));
    if (there == nullptr || *there != content) {
      throw Violation{fmt::format("{} {} is run with {} '{}'", pointer.application, pointer.version,
                                  there == nullptr ? "a missing" : "a damaged", path)};
    }
  }
  return *version;
}

}  // namespace verge::simulator
