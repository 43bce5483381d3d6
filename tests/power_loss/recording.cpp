#include "recording.hpp"

#include <array>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

namespace verge::power_loss {
namespace {

using Fate = Loss::Fate;

std::string_view name(Fate fate) {
  constexpr std::array<std::string_view, 3> kNames{"lost", "kept", "mixed"};
  return kNames.at(static_cast<std::size_t>(fate));
}

class Recorder {
 public:
  Recorder(const Scenario& scenario, const Losses& losses, ModelledDisk& disk, Recording& recording)
      : scenario_(scenario), losses_(losses), disk_(disk), recording_(recording) {}

  void look(const std::string& call) {
    if (losses_.left_out != 0) {
      if (!disk_.is_exposed()) return;
      add({Fate::kept, Fate::lost, 0, true}, call);
      add({Fate::kept, Fate::mixed, seed(0), true}, call);
      add({Fate::lost, Fate::lost, 0, false}, call);
      add({Fate::kept, Fate::lost, 0, false}, call);
      return;
    }
    add({Fate::lost, Fate::lost, 0, false}, call);
    // Of a disk that has everything nothing can be lost: the other losses leave the same.
    add({Fate::kept, Fate::kept, 0, false}, call);
    add({Fate::kept, Fate::lost, 0, false}, call);
    add({Fate::kept, Fate::mixed, seed(0), false}, call);
    for (int i = 1; i <= losses_.mixes; ++i) add({Fate::mixed, Fate::mixed, seed(i), false}, call);
  }

 private:
  [[nodiscard]] std::uint64_t seed(int nth) const {
    return Chance(losses_.seed * 1'000'003 + disk_.operations() * 1009 + static_cast<std::uint64_t>(nth)).next();
  }

  void add(const Loss& loss, const std::string& call) {
    auto text = fmt::format("{}/{}/{}/{}/{}", scenario_.name, disk_.operations(), name(loss.names), name(loss.content),
                            loss.seed);
    if (!losses_.only.empty() && losses_.only != text) return;
    auto image = disk_.after(loss);
    const auto fingerprint = image.fingerprint();
    const auto [known, is_new] = seen_.emplace(fingerprint, recording_.remains.size());
    ++recording_.losses;
    if (is_new) recording_.remains.push_back({std::move(image), fingerprint, 0, std::move(text), call});
    ++recording_.remains[known->second].losses;
  }

  const Scenario& scenario_;
  const Losses& losses_;
  ModelledDisk& disk_;
  Recording& recording_;
  std::unordered_map<std::uint64_t, std::size_t> seen_;
};

}  // namespace

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

Recording record(const Scenario& scenario, const Losses& losses) {
  Recording recording;
  ModelledDisk disk(scenario.before);
  disk.left_out = losses.left_out;
  Recorder recorder(scenario, losses, disk, recording);
  disk.before_call = [&](simulator::Call call, const std::string& path) {
    ++recording.calls;
    if (call == simulator::Call::sync) recording.syncs.push_back(path);
    if (simulator::changes(call)) recorder.look(fmt::format("{} {}", simulator::name(call), path));
    return 0;
  };
  DeviceLife life(hub(), disk, true);
  life.want(scenario.wanted);
  life.run_to_end();
  recorder.look("the end");
  recording.operations = disk.operations();
  recording.broken_promises = life.broken_promises();
  recording.final_state = final_state(disk.image());
  if (life.end_of(scenario.application) != scenario.end) {
    throw Violation{fmt::format("{}: expected the update to end as '{}', got '{}'", scenario.name, scenario.end,
                                life.end_of(scenario.application))};
  }
  return recording;
}

const std::string& Recoveries::of(const DiskImage& image) {
  const auto [known, is_new] = known_.try_emplace(image.fingerprint());
  if (is_new) known->second = recover(image, scenario_.wanted, is_settled(scenario_, image));
  return known->second;
}

const std::string& Recoveries::of_ended(const DiskImage& image, const wire::DesiredState& wanted) {
  // What is wanted is on the disk, too.
  const auto [known, is_new] = known_.try_emplace(image.fingerprint() + 1);
  if (is_new) known->second = recover(image, wanted, true);
  return known->second;
}

std::string Recoveries::recover(const DiskImage& image, const wire::DesiredState& wanted, bool ended) const {
  try {
    ModelledDisk disk(image);
    DeviceLife life(hub(), disk);
    for (int i = 0; i < kStepsWithoutHub; ++i) life.step();
    life.want(wanted);
    life.run_to_end();
    if (life.end_of(scenario_.application) != scenario_.end) {
      return fmt::format("expected the update to end as '{}', got '{}'", scenario_.end,
                         life.end_of(scenario_.application));
    }
    for (const auto& [application, digest] : life.runtime().switched) {
      if (application != scenario_.application || !ended) continue;
      const auto runs = scenario_.runs.find(application);
      if (runs == scenario_.runs.end() || runs->second != digest) {
        return fmt::format("what had ended before the loss is undone for a moment: {} runs {}", application, digest);
      }
    }
    return check(life, disk);
  } catch (const Violation& violation) {
    return violation.what();
  }
}

std::string Recoveries::check(const DeviceLife& life, const ModelledDisk& disk) const {
  std::map<std::string, std::string> runs;
  for (const auto& [application, running] : life.runtime().running) runs[application] = running.digest;
  if (runs != scenario_.runs) return "another version runs than should";
  return difference(expected_, final_state(disk.image()));
}

}  // namespace verge::power_loss
