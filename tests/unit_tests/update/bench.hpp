// Bench: one device with a real Updater over ports in memory, whose faults a test sets one by one.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "hub.hpp"
#include "modelled_disk.hpp"
#include "verge/update/disk_files.hpp"
#include "verge/update/updater.hpp"
#include "verge/wire/update_record.hpp"

namespace verge::update::test {

using simulator::Chance;
using simulator::Crash;
using simulator::Quality;
using simulator::SimulatedClock;
using Step = wire::UpdateStep;

constexpr std::int64_t kEpoch_ms = 1'800'000'000'000;

/// Called before every operation with what it does and on what; may give an error, or throw Crash.
using Fault = std::function<Result<void>(std::string_view operation, const std::string& name)>;

class ScriptedFiles final : public Files {
 public:
  /// The agent starts: what it knew of the disk is gone.
  void start() { files_.emplace("", disk); }
  Result<std::string> read(const std::string& name, std::uint64_t limit) override {
    VERGE_TRY(ask("read", name));
    return files_->read(name, limit);
  }
  Result<std::unique_ptr<OpenedFile>> open(const std::string& name) override {
    VERGE_TRY(ask("open", name));
    return files_->open(name);
  }
  Result<void> write(const std::string& name, std::string_view content) override {
    VERGE_TRY(ask("write", name));
    VERGE_TRY(files_->write(name, content));
    return ask("written", name);
  }
  Result<void> append(const std::string& name, std::span<const std::byte> bytes) override {
    VERGE_TRY(ask("append", name));
    return files_->append(name, bytes);
  }
  Result<void> sync(const std::string& name) override {
    VERGE_TRY(ask("sync", name));
    return files_->sync(name);
  }
  Result<std::uint64_t> size(const std::string& name) override { return files_->size(name); }
  Result<std::string> digest(const std::string& name) override {
    VERGE_TRY(ask("digest", name));
    return files_->digest(name);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    VERGE_TRY(ask("rename", from));
    return files_->rename(from, to);
  }
  Result<void> link(const std::string& from, const std::string& to) override {
    VERGE_TRY(ask("link", to));
    return files_->link(from, to);
  }
  bool same(const std::string& a, const std::string& b) override { return files_->same(a, b); }
  Result<void> remove(const std::string& name) override {
    VERGE_TRY(ask("remove", name));
    return files_->remove(name);
  }
  Result<std::vector<std::string>> list(const std::string& folder) override { return files_->list(folder); }
  void remove_unfinished(const std::string& folder) override { files_->remove_unfinished(folder); }
  std::uint64_t free_bytes() override { return free; }

  simulator::ModelledDisk disk;
  Fault fault;
  std::uint64_t free = std::uint64_t{1} << 40U;

 private:
  Result<void> ask(std::string_view operation, const std::string& name) {
    return fault ? fault(operation, name) : Result<void>{};
  }
  std::optional<DiskFiles> files_;
};

class ScriptedNetwork final : public Network {
 public:
  explicit ScriptedNetwork(const simulator::Hub& hub) : hub_(hub) {}
  Result<std::string> fetch(std::string_view name, std::uint64_t) override {
    if (fault) VERGE_TRY(fault("metadata", std::string(name)));
    return hub_.metadata(name);
  }
  Result<std::vector<DeltaOffer>> deltas(const std::string& package_digest) override {
    if (fault) VERGE_TRY(fault("deltas", package_digest));
    auto offers = hub_.deltas(package_digest);
    if (change_offers) change_offers(offers);
    return offers;
  }
  Result<void> blob(const std::string& digest, std::uint64_t offset,
                    const std::function<Result<void>(std::span<const std::byte>)>& sink) override {
    if (fault) VERGE_TRY(fault("blob", digest));
    asked.emplace_back(digest, offset);
    std::string content = hub_.blob(digest)->substr(offset);
    if (garble) content[0] = static_cast<char>(content[0] ^ 1);
    constexpr std::size_t kPiece = 256;
    for (std::size_t at = 0; at < content.size(); at += kPiece) {
      const auto piece = content.substr(at, kPiece);
      VERGE_TRY(sink(std::as_bytes(std::span(piece))));
      const bool last = at + kPiece >= content.size();
      if (cut_after_pieces > 0 && !last && --cut_after_pieces == 0) {
        return Error(ErrorCode::unavailable, "VRG-HTC-002", "broken off");
      }
    }
    return {};
  }

  Fault fault;
  std::function<void(std::vector<DeltaOffer>&)> change_offers;
  bool garble = false;
  int cut_after_pieces = 0;
  std::vector<std::pair<std::string, std::uint64_t>> asked;  ///< Digests with offsets.

 private:
  const simulator::Hub& hub_;
};

class ScriptedRuntime final : public Runtime {
 public:
  ScriptedRuntime(const simulator::Hub& hub, SimulatedClock& clock) : hub_(hub), clock_(clock) {}
  wire::DeviceReport device() override {
    wire::DeviceReport report;
    wire::EngineReport engine;
    engine.name = "litert";
    engine.version = "2.3";
    report.engines = {engine};
    return report;
  }
  Result<std::vector<ModelTrial>> try_out(const VerifiedApplication& candidate) override {
    if (fault) VERGE_TRY(fault("try", candidate.pointer().version));
    const auto quality = hub_.by_digest(candidate.pointer().digest)->quality;
    ModelTrial trial;
    trial.model = candidate.pointer().application;
    trial.engine = "litert";
    trial.golden_samples = 4;
    trial.golden_passed = quality == Quality::wrong_golden ? 3 : 4;
    if (quality == Quality::wrong_golden) trial.difference = "'cat.png': expected cat, got dog";
    trial.latency_ms = quality == Quality::slow ? 50 : 2;
    trial.memory_bytes = quality == Quality::large ? std::uint64_t{1} << 30U : 1000;
    return std::vector{trial};
  }
  Result<void> switch_to(const VerifiedApplication& application) override {
    if (fault) VERGE_TRY(fault("switch", application.pointer().version));
    running = application.pointer();
    since_ms_ = clock_.steady_ms();
    return {};
  }
  void end(const std::string& /*application*/) override { running.reset(); }
  std::vector<LiveModel> live(const std::string& application) override {
    if (!running) return {};
    if (on_live) return on_live(*running);
    const auto quality = hub_.by_digest(running->digest)->quality;
    const auto requests = (clock_.steady_ms() - since_ms_) / 10;
    const double p50 = quality == Quality::slow_live ? 50 : 2;
    return {{application, requests, quality == Quality::fails_live ? requests / 2 : 0, p50, p50, {}}};
  }

  Result<bool> proven() override { return proven_now; }

  bool proven_now = true;
  Fault fault;
  std::function<std::vector<LiveModel>(const wire::DevicePointer&)> on_live;
  std::optional<wire::DevicePointer> running;

 private:
  const simulator::Hub& hub_;
  SimulatedClock& clock_;
  std::int64_t since_ms_ = 0;
};

/// One model, "model0", with at least two versions of every quality; made once.
inline const simulator::Hub& hub() {
  static const simulator::Hub made = [] {
    for (std::uint64_t seed = 1;; ++seed) {
      Chance chance(seed);
      auto hub = simulator::Hub::make(chance, 1, 80, kEpoch_ms / 1000);
      std::map<Quality, int> counts;
      for (const auto& version : hub.versions()) ++counts[version.quality];
      const auto enough = [](const auto& count) { return count.second >= 2; };
      if (counts.size() == 10 && std::ranges::all_of(counts, enough)) return hub;
    }
  }();
  return made;
}

/// The `nth` version of a quality.
inline const simulator::Version& version(Quality quality, int nth = 0) {
  for (const auto& one : hub().versions()) {
    if (one.quality == quality && nth-- == 0) return one;
  }
  throw std::runtime_error("the hub has too few versions of this quality");
}

class Bench {
 public:
  Bench() : network(hub()), runtime(hub(), clock) { start(); }

  /// The agent starts, and takes over what the disk has.
  void start() {
    runtime.running.reset();
    files.start();
    auto made = Updater::create({clock, chance, files, network, runtime}, hub().root());
    if (!made) throw std::runtime_error(made.error().text());
    updater = std::move(*made);
    updater->restore();
  }
  /// As a loss of power ends it.
  void crash() {
    updater.reset();
    files.disk.lose_power({});
    clock.pass(1000);
    start();
  }
  void want(const simulator::Version& version, double watch_s = 0) {
    auto wanted = version.desired;
    wanted.deployment = "d-" + std::to_string(++deployments_);
    wire::WatchPolicy watch = policy;
    watch.duration_s = watch_s;
    wanted.watch = watch;
    desired.applications = {wanted};
    send();
  }
  void send() {
    desired.version += 1;
    desired.device = "bench";
    updater->want(desired);
  }
  void freeze(bool frozen) {
    desired.frozen = frozen;
    send();
  }
  /// One step, after the time that the one before asked for.
  std::int64_t step() {
    clock.pass(wait_);
    wait_ = updater->step();
    return wait_;
  }
  [[nodiscard]] wire::UpdateRecord record() const {
    const auto* text = files.disk.peek("applications/model0/update.json");
    if (text == nullptr) return {};
    return *wire::read_update_record(*wire::parse_json(*text, "update.json"), wire::Place("update.json"));
  }
  [[nodiscard]] bool ended() const {
    const auto now = record();
    const bool is_end = now.step == Step::committed || now.step == Step::rolled_back || now.step == Step::refused ||
                        now.step == Step::failed;
    return is_end && now.desired.deployment == desired.applications.front().deployment;
  }
  void run_to_end() {
    for (int i = 0; i < 400; ++i) {
      if (ended() && runtime.running.has_value()) return;
      step();
    }
    FAIL() << "the update does not end: " << std::string(wire::name(record().step));
  }
  void run_to(Step wanted) {
    for (int i = 0; i < 400; ++i) {
      if (record().step == wanted && record().desired.deployment == desired.applications.front().deployment) return;
      step();
    }
    FAIL() << "never in step " << std::string(wire::name(wanted));
  }
  /// A good version that runs and is committed.
  void commit(int nth = 0) {
    want(version(Quality::good, nth));
    run_to_end();
    ASSERT_EQ(record().step, Step::committed);
  }
  [[nodiscard]] std::string reason() const {
    const auto now = record();
    return now.progress.reason ? now.progress.reason->message + " [" + now.progress.reason->id + "]" : "";
  }

  Chance chance{3};
  SimulatedClock clock{kEpoch_ms};
  ScriptedFiles files;
  ScriptedNetwork network;
  ScriptedRuntime runtime;
  wire::WatchPolicy policy;
  wire::DesiredState desired;
  std::unique_ptr<Updater> updater;

 private:
  std::int64_t wait_ = 0;
  int deployments_ = 0;
};

inline Error disk_error() {
  return Error(ErrorCode::unavailable, "VRG-BAS-001", "input/output error");
}
inline Error network_error() {
  return Error(ErrorCode::unavailable, "VRG-HTC-001", "cannot connect");
}

/// Fails every operation of this kind whose name contains `part`.
inline Fault failing(std::string_view kind, std::string_view part, Error error) {
  return [kind = std::string(kind), part = std::string(part), error](std::string_view operation,
                                                                     const std::string& name) -> Result<void> {
    if (operation == kind && name.find(part) != std::string::npos) return error;
    return {};
  };
}

}  // namespace verge::update::test
