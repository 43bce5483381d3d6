// Simulation: devices that are updated while everything around them fails, and what must hold all the same.
//
//   1. Only content that the hub signed, byte for byte, is ever run.
//   2. An application has one active version at any time, one that was committed or is being watched.
//   3. Once the faults end, an update ends too: committed, with that version running, or refused, rolled back or failed
//      with a reason, with the version before it running.
//   4. A version that is not good is never committed.
#pragma once

#include <cstdint>
#include <string>

#include "hub.hpp"

namespace verge::simulator {

struct Tally {
  std::uint64_t updates = 0;
  std::uint64_t crashes = 0;
  std::uint64_t disk_operations = 0;
  std::uint64_t committed = 0;
  std::uint64_t rolled_back = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t device_seed = 0;  ///< Of the device that broke something.
  std::string violation;          ///< What broke, with the seed that replays it; empty: nothing.
};

/// One device through `updates` updates. The same seed gives the same run, to the last operation.
void simulate_device(const Hub& hub, std::uint64_t seed, int updates, Tally& tally, bool verbose = false);

/// Devices of ten updates each, until `updates` are done or an invariant is broken.
Tally simulate(std::uint64_t seed, std::uint64_t updates);

/// Replays the device with this seed among the versions of the simulation that had `simulation_seed`.
Tally replay(std::uint64_t simulation_seed, std::uint64_t device_seed, bool verbose);

}  // namespace verge::simulator
