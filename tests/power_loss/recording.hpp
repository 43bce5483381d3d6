// Recording: every state in which a loss of power can leave the disk on a device's way through a scenario.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "scenario.hpp"

namespace verge::power_loss {

/// A device that starts has its own memory for a while before it hears from the hub.
constexpr int kStepsWithoutHub = 4;

/// A disk after a loss of power. The same disk is kept once, with the number of losses that lead to it.
struct Remains {
  DiskImage image;
  std::uint64_t fingerprint = 0;
  std::uint64_t losses = 0;
  std::string first;  ///< "<scenario>/<operation>/<names>/<content>/<seed>" of the first: VERGE_POWER_LOSS replays it.
  std::string call;   ///< That the power was lost before.
};

struct Recording {
  std::uint64_t operations = 0;  ///< Calls that changed the disk.
  std::uint64_t calls = 0;       ///< All calls.
  std::uint64_t losses = 0;
  std::vector<std::string> syncs;  ///< What was synced, in order.
  std::vector<Remains> remains;
  std::vector<std::string> broken_promises;
  std::map<std::string, std::string> final_state;
};

/// What to look at before every operation, and after the last.
struct Losses {
  int mixes = 0;               ///< Seeded ones, beside nothing, all and the torn.
  std::uint64_t seed = 1;      ///< Of the mixes.
  std::uint64_t left_out = 0;  ///< This sync does nothing, and only while that matters is anything looked at.
  std::string only;            ///< As Remains::first: this one and no other. Empty: all.
};

/// Runs the scenario undisturbed. Throws Violation when even that fails.
[[nodiscard]] Recording record(const Scenario& scenario, const Losses& losses);

/// What becomes of a device that starts on what is left. Each disk is tried once.
class Recoveries {
 public:
  /// `expected`: the state that an undisturbed run ends in. Both must outlive the object.
  Recoveries(const Scenario& scenario, const std::map<std::string, std::string>& expected)
      : scenario_(scenario), expected_(expected) {}

  /// Empty: it reaches the expected state, and runs what it should and never what it should not. Else what went wrong.
  const std::string& of(const DiskImage& image);
  /// The same of a device that had told that all is done, and of which `wanted` was wanted last.
  const std::string& of_ended(const DiskImage& image, const wire::DesiredState& wanted);
  /// The same of a device that has run to its end.
  [[nodiscard]] std::string check(const DeviceLife& life, const ModelledDisk& disk) const;
  [[nodiscard]] std::size_t tried() const { return known_.size(); }

 private:
  [[nodiscard]] std::string recover(const DiskImage& image, const wire::DesiredState& wanted, bool ended) const;

  const Scenario& scenario_;
  const std::map<std::string, std::string>& expected_;
  std::unordered_map<std::uint64_t, std::string> known_;
};

/// A number from the environment.
[[nodiscard]] std::uint64_t from_environment(const char* name, std::uint64_t otherwise);

}  // namespace verge::power_loss
