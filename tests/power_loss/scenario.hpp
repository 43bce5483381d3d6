// Scenarios: what a device goes through while the power is lost, with the disk that it begins on.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "device_life.hpp"

namespace verge::power_loss {

struct Scenario {
  std::string name;
  DiskImage before;
  wire::DesiredState wanted;
  std::string application;                  ///< That is updated, or removed.
  std::string end;                          ///< Of its update; empty: it is removed.
  std::map<std::string, std::string> runs;  ///< In the end: each application with its digest.
};

/// One hub for all scenarios, whose metadata are newer than what the disks have.
[[nodiscard]] const simulator::Hub& hub();
/// join, update, rollback, first_rollback, refusal, removal; made once.
[[nodiscard]] const std::vector<Scenario>& scenarios();
[[nodiscard]] const Scenario& scenario(const std::string& name);

/// What must be the same after a loss of power as without one: every name and every byte, and which names are of one
/// file. Left out are, of update.json: times, texts and the time line, the numbers that were measured, how many bytes
/// travelled and how often something was tried, since a device that starts again does some of it again; and the
/// deployment's identifier with the version of desired.json, since a failed update is ended by deploying again.
[[nodiscard]] std::map<std::string, std::string> final_state(const DiskImage& image);
/// The first difference, for people; empty: none.
[[nodiscard]] std::string difference(const std::map<std::string, std::string>& expected,
                                     const std::map<std::string, std::string>& got);
/// Whether the image says that the scenario's change is made: nothing of what was before may run again.
[[nodiscard]] bool is_settled(const Scenario& scenario, const DiskImage& image);

}  // namespace verge::power_loss
