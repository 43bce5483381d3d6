#include "simulation.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "simulated_runtime.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/update/disk_files.hpp"
#include "verge/update/encrypted_files.hpp"
#include "verge/update/updater.hpp"
#include "verge/wire/device_pointer.hpp"

namespace verge::simulator {
namespace {

constexpr std::int64_t kEpoch_ms = 1'800'000'000'000;
constexpr std::int64_t kYear_ms = std::int64_t{365} * 24 * 3600 * 1000;
constexpr int kUpdatesOfADevice = 10;
constexpr int kModels = 3;
constexpr int kVersions = 12;
constexpr int kStepsUntilItMustEnd = 600;

class Device {
 public:
  Device(const Hub& hub, std::uint64_t seed, Tally& tally, bool verbose)
      : hub_(hub),
        tally_(tally),
        verbose_(verbose),
        chance_(seed),
        clock_(kEpoch_ms),
        network_(hub, chance_, 0),
        runtime_(hub, disk_, clock_, chance_),
        encrypts_(seed % 2 == 1) {
    if (encrypts_) {
      keys_.add({}, std::make_shared<const at_rest::Secret>(at_rest::Secret::random()));
      runtime_.keys = &keys_;
    }
    open_files();
  }

  void run(int updates) {
    disk_.before_call = [this](Call call, const std::string&) { return strike(call); };
    start();
    for (int i = 0; i < updates; ++i) {
      set_faults(10 + chance_.below(60));
      want(chance_.below(hub_.versions().size()));
      const auto steps_with_faults = chance_.below(60);
      for (std::uint64_t step = 0; step < steps_with_faults; ++step) {
        disturb();
        advance();
      }
      set_faults(0);
      thaw();
      // What is active runs, in the end, whatever the disk has lost.
      for (int step = 0; !ended() || idle(); ++step) {
        if (step > kStepsUntilItMustEnd) throw Violation{"after the faults had ended, " + unfinished()};
        advance();
      }
      check_end();
      ++tally_.updates;
    }
    tally_.disk_operations += disk_.operations();
  }

 private:
  /// As an agent finds them at its start.
  void open_files() {
    stored_.emplace("", disk_);
    if (encrypts_) encrypted_.emplace(*stored_, keys_);
  }
  update::Files& files() { return encrypts_ ? static_cast<update::Files&>(*encrypted_) : *stored_; }

  void set_faults(std::uint64_t one_in) {
    // An operation of the store is a dozen calls.
    disk_fault_every_ = one_in * 6;
    network_.set_fault_every(one_in);
    runtime_.fault_every = one_in * 2;
    if (one_in == 0 && clock_jump_ != 0) {
      clock_.jump(-clock_jump_);
      clock_jump_ = 0;
    }
  }

  int strike(Call call) {
    if (!chance_.one_in(disk_fault_every_)) return 0;
    switch (chance_.below(4)) {
      case 0: return EIO;
      case 1: return changes(call) ? ENOSPC : EIO;
      default: throw Crash{};
    }
  }

  void thaw() {
    if (!desired_.frozen) return;
    desired_.frozen = false;
    desired_.version += 1;
    updater_->want(desired_);
  }

  void disturb() {
    if (chance_.one_in(25)) want(chance_.below(hub_.versions().size()));
    if (chance_.one_in(60)) {
      const auto jump = static_cast<std::int64_t>(chance_.below(4 * kYear_ms)) - 2 * kYear_ms;
      clock_.jump(jump);
      clock_jump_ += jump;
    }
    if (chance_.one_in(80)) {
      desired_.frozen = !desired_.frozen;
      desired_.version += 1;
      updater_->want(desired_);
    }
    if (chance_.one_in(200)) {
      rot();
      crash();
    }
  }

  /// A stored byte flips; the agent finds out when it checks at its next start.
  void rot() {
    for (const auto& name : disk_.files_below("/store/blobs")) {
      if (!chance_.one_in(10)) continue;
      disk_.flip_bit(name, chance_.next());
      for (const auto& application : applications()) rotten_.insert(application);
      note("a byte flips in " + name);
      return;
    }
  }

  void want(std::size_t index) {
    auto desired = hub_.versions()[index].desired;
    desired.deployment = fmt::format("d{}", ++deployments_);
    wire::WatchPolicy watch;
    watch.duration_s = static_cast<double>(chance_.below(5));
    watch.min_requests = 1;
    // Versions that are bad on live traffic need a moment to show it.
    if (hub_.versions()[index].quality != Quality::good) watch.duration_s += 2;
    desired.watch = watch;
    current_ = desired;
    auto& all = desired_.applications;
    std::erase_if(all, [&](const auto& other) { return other.application == desired.application; });
    if (!all.empty() && chance_.one_in(8)) {
      committed_.erase(all.back().application);
      note("no more wanted: " + all.back().application);
      all.pop_back();
    }
    note(fmt::format("wanted: {} {} as {} ({})", desired.application, desired.version, desired.deployment,
                     static_cast<int>(hub_.versions()[index].quality)));
    all.push_back(std::move(desired));
    desired_.version += 1;
    desired_.frozen = false;
    desired_.device = "simulated";
    if (updater_) updater_->want(desired_);
  }

  /// What verge-launcher does.
  void start() {
    const auto digest = [&](const char* which) {
      const auto found = pointer(std::string(package::kAgentName), which);
      return found ? found->digest : std::string();
    };
    runtime_.start_agent(digest("active"), digest("previous"));
    note("the agent starts: " + (runtime_.own.empty() ? "that of the system" : runtime_.own));
    while (true) {
      try {
        auto made = update::Updater::create({clock_, chance_, files(), network_, runtime_}, hub_.root());
        if (!made) continue;  // The disk again.
        updater_ = std::move(*made);
        updater_->restore();
        if (desired_.version > 0) updater_->want(desired_);
        return;
      } catch (const Crash&) {
        ++tally_.crashes;
        lose();
        return start();
      }
    }
  }

  Loss::Fate fate() {
    constexpr std::array kFates{Loss::Fate::lost, Loss::Fate::mixed, Loss::Fate::mixed, Loss::Fate::kept};
    return kFates.at(chance_.below(kFates.size()));
  }

  void lose() {
    updater_.reset();
    // Killed, with what it wrote still in the machine's memory; or the power is lost.
    if (!chance_.one_in(4)) disk_.lose_power({fate(), fate(), chance_.next(), false});
    open_files();
    clock_.pass(1000);
  }

  void crash() {
    ++tally_.crashes;
    note("the agent ends");
    lose();
    start();
  }

  void advance() {
    std::int64_t wait = 0;
    try {
      wait = updater_->step();
    } catch (const Crash&) {
      crash();
    }
    clock_.pass(std::min<std::int64_t>(wait, 60'000) + 1);
    check_pointers();
    const auto active_release = active(std::string(package::kAgentName));
    if (!runtime_.next || *runtime_.next != (active_release ? active_release->digest : "")) return;
    note("the agent ends for another release");
    updater_.reset();
    open_files();
    start();
  }

  std::optional<wire::DevicePointer> active(const std::string& application) const {
    return pointer(application, "active");
  }

  std::optional<wire::DevicePointer> pointer(const std::string& application, const std::string& which) const {
    const auto* text = disk_.peek(fmt::format("/applications/{}/{}.json", application, which));
    if (text == nullptr) return std::nullopt;
    const auto node = wire::parse_json(*text, which);
    auto found =
        node ? wire::read_device_pointer(*node, wire::Place(which)) : Result<wire::DevicePointer>(node.error());
    if (!found) throw Violation{"the " + which + " pointer of " + application + " cannot be read"};
    return *found;
  }

  static std::vector<std::string> applications() {
    std::vector<std::string> names{std::string(package::kAgentName)};
    for (int model = 0; model < kModels; ++model) names.push_back(fmt::format("model{}", model));
    return names;
  }

  /// Invariant 2, at every step.
  void check_pointers() const {
    for (const auto& name : applications()) {
      const auto found = active(name);
      if (!found) continue;
      const Version* version = hub_.by_digest(found->digest);
      if (version == nullptr || version->quality == Quality::unsigned_ || found->application != name) {
        throw Violation{"the active pointer of " + name + " names what was never signed"};
      }
    }
  }

  const wire::UpdateReport* report() {
    reports_ = updater_->applications();
    for (const auto& application : reports_) {
      if (application.application == current_.application && application.update) return &*application.update;
    }
    return nullptr;
  }

  bool ended() {
    const auto* update = report();
    if (update == nullptr || update->deployment != current_.deployment) return false;
    switch (update->state) {
      case wire::UpdateState::committed:
      case wire::UpdateState::rolled_back:
      case wire::UpdateState::refused:
      case wire::UpdateState::failed: return true;
      default: return false;
    }
  }

  std::string unfinished() {
    const auto* update = report();
    return fmt::format("{} is {}{}{}", current_.application,
                       update == nullptr ? "unknown" : std::string(wire::name(update->state)),
                       idle() ? " and its active version does not run" : "",
                       update != nullptr && update->reason ? ": " + update->reason->message : "");
  }

  /// Whether what is active does not run, or not yet what the disk is still to take as active.
  bool idle() const {
    const auto pointer = active(current_.application);
    const auto running = runtime_.running.find(current_.application);
    return pointer && (running == runtime_.running.end() || running->second.digest != pointer->digest);
  }

  /// Invariants 3 and 4.
  void check_end() {
    const auto* update = report();
    const auto& name = current_.application;
    const auto pointer = active(name);
    if (name == package::kAgentName && runtime_.own != (pointer ? pointer->digest : "")) {
      throw Violation{"another release of the agent runs than is active"};
    }
    const auto running = runtime_.running.find(name);
    const auto state = std::string(wire::name(update->state));
    note("ended: " + state + (update->reason ? " " + update->reason->id + " " + update->reason->message : ""));
    count(update->state);
    if (pointer.has_value() != (running != runtime_.running.end())) {
      throw Violation{fmt::format("{}: {} is the active version and {} runs", name, pointer ? pointer->version : "none",
                                  running == runtime_.running.end() ? "nothing" : "another")};
    }
    if (pointer && running != runtime_.running.end() && pointer->digest != running->second.digest) {
      throw Violation{name + ": another version runs than is active"};
    }
    if (update->state == wire::UpdateState::committed) {
      if (!pointer || pointer->digest != current_.digest) throw Violation{name + ": committed, but not active"};
      const auto quality = hub_.by_digest(current_.digest)->quality;
      if (quality != Quality::good) {
        throw Violation{
            fmt::format("{} {} is committed and is not good ({})", name, current_.version, static_cast<int>(quality))};
      }
      committed_[name] = current_.digest;
      rotten_.erase(name);
      return;
    }
    if (!update->reason || update->reason->message.empty()) throw Violation{name + ": " + state + " without a reason"};
    if (rotten_.erase(name) > 0) {
      if (pointer) committed_[name] = pointer->digest;
      if (!pointer) committed_.erase(name);
      return;
    }
    // A version that was wanted, superseded and had been committed meanwhile is as good as the one we know of.
    if (pointer && hub_.by_digest(pointer->digest)->quality != Quality::good) {
      throw Violation{fmt::format("{}: {} and a bad version, {}, is active", name, state, pointer->version)};
    }
    const auto before = committed_.find(name);
    // Of the agent there is always one.
    if (before != committed_.end() && !pointer && name != package::kAgentName)
      throw Violation{name + ": " + state + " and nothing is left running"};
  }

  void count(wire::UpdateState state) {
    if (state == wire::UpdateState::committed) ++tally_.committed;
    if (state == wire::UpdateState::rolled_back) ++tally_.rolled_back;
    if (state == wire::UpdateState::refused) ++tally_.refused;
    if (state == wire::UpdateState::failed) ++tally_.failed;
  }

  void note(const std::string& text) const {
    if (verbose_) std::fprintf(stderr, "%10lld ms  %s\n", static_cast<long long>(clock_now()), text.c_str());
  }
  std::int64_t clock_now() const { return const_cast<SimulatedClock&>(clock_).steady_ms(); }

  const Hub& hub_;
  Tally& tally_;
  bool verbose_;
  Chance chance_;
  SimulatedClock clock_;
  ModelledDisk disk_;
  std::optional<update::DiskFiles> stored_;  ///< Of one life of the agent.
  std::optional<update::EncryptedFiles> encrypted_;
  at_rest::DataKeys keys_;
  std::uint64_t disk_fault_every_ = 0;
  FaultyNetwork network_;
  SimulatedRuntime runtime_;
  bool encrypts_;  ///< Every second device's store is encrypted.
  std::unique_ptr<update::Updater> updater_;
  wire::DesiredState desired_;
  wire::DesiredApplication current_;
  std::vector<wire::ReportedApplication> reports_;
  std::map<std::string, std::string> committed_;
  std::int64_t clock_jump_ = 0;
  int deployments_ = 0;
  std::set<std::string> rotten_;  ///< Models that may have fallen back because a byte flipped.
};

Hub make_hub(std::uint64_t seed) {
  Chance chance(seed);
  return Hub::make(chance, kModels, kVersions, kEpoch_ms / 1000, kVersions);
}

std::uint64_t device_seed(std::uint64_t seed, std::uint64_t device) {
  return Chance(seed ^ (device * 0xD1B54A32D192ED03ULL)).next();
}

}  // namespace

void simulate_device(const Hub& hub, std::uint64_t seed, int updates, Tally& tally, bool verbose) {
  try {
    Device(hub, seed, tally, verbose).run(updates);
  } catch (const Violation& violation) {
    tally.violation = violation.what();
    tally.device_seed = seed;
  }
}

Tally simulate(std::uint64_t seed, std::uint64_t updates) {
  const Hub hub = make_hub(seed);
  Tally tally;
  for (std::uint64_t device = 0; tally.updates < updates && tally.violation.empty(); ++device) {
    simulate_device(hub, device_seed(seed, device), kUpdatesOfADevice, tally);
  }
  if (!tally.violation.empty()) {
    tally.violation += fmt::format("; replay: simulate --seed {} --device {}", seed, tally.device_seed);
  }
  return tally;
}

Tally replay(std::uint64_t simulation_seed, std::uint64_t device_seed, bool verbose) {
  const Hub hub = make_hub(simulation_seed);
  Tally tally;
  simulate_device(hub, device_seed, kUpdatesOfADevice, tally, verbose);
  return tally;
}

}  // namespace verge::simulator
