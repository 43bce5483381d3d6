// Device life: an agent's update code on a modelled disk, from its start until it is killed.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kept_promises.hpp"
#include "simulated_runtime.hpp"
#include "verge/update/encrypted_files.hpp"
#include "verge/update/updater.hpp"

namespace verge::power_loss {

using simulator::Chance;
using simulator::DiskImage;
using simulator::Loss;
using simulator::ModelledDisk;
using simulator::Violation;

/// The moment at which all lives begin: nothing depends on the time of day.
constexpr std::int64_t kBegin_ms = 1'800'000'000'000;

/// A disk with this file has an encrypted store, and the key for it is kKeys's.
constexpr const char* kEncryptedMark = "/at_rest/keys.json";
[[nodiscard]] const at_rest::DataKeys& store_keys();

class DeviceLife {
 public:
  /// The agent starts on what the disk has. `hub` and `disk` must outlive the object.
  DeviceLife(const simulator::Hub& hub, ModelledDisk& disk, bool looks_at_promises = false);

  void want(const wire::DesiredState& desired);
  /// One step, after the time that the one before asked for.
  void step();
  /// Until each update that is wanted has ended, what is active runs, and the store is tidy. Throws Violation when that
  /// does not come.
  void run_to_end();
  /// Whether all that is wanted has ended, and how the update of `application` has: empty when it has not.
  [[nodiscard]] std::string end_of(const std::string& application) const;

  /// What calls of the store promised and the disk does not keep.
  [[nodiscard]] const std::vector<std::string>& broken_promises() const { return files_.broken; }
  [[nodiscard]] const simulator::SimulatedRuntime& runtime() const { return runtime_; }

 private:
  [[nodiscard]] bool ended() const;

  Chance chance_{5};
  simulator::SimulatedClock clock_{kBegin_ms};
  KeptPromises files_;
  update::EncryptedFiles encrypted_files_{files_, store_keys()};
  simulator::FaultyNetwork network_;
  simulator::SimulatedRuntime runtime_;
  std::unique_ptr<update::Updater> updater_;
  wire::DesiredState desired_;
  std::int64_t wait_ms_ = 0;
};

}  // namespace verge::power_loss
