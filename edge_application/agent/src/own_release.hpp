// Own release: the agent's own update: another release of it is installed, tried, and started by verge-launcher.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "model_order.hpp"
#include "verge/base/error.hpp"
#include "verge/launcher/releases.hpp"
#include "verge/update/ports.hpp"

namespace verge::agent {

/// What the agent was started as, and by whom.
struct Origin {
  std::filesystem::path configuration;  ///< edge_config.yaml, as it was named.
  bool by_launcher = false;             ///< Else it cannot become another release.
  std::string release;                  ///< Digest; empty: the agent of the system.
};

/// Used by the thread that updates, but for reached_hub().
class OwnRelease {
 public:
  /// `files` must outlive the object; `encrypted`: what lies in `state_directory` is not what they give.
  OwnRelease(Origin origin, std::filesystem::path state_directory, update::Files& files, bool encrypted);

  /// Installs the release, has it check this device's configuration, and runs these models with it. Errors:
  /// failed_precondition (VRG-AGT-100 not started by verge-launcher, 102 it does not take the configuration), those of
  /// try_out_apart().
  Result<std::vector<update::ModelTrial>> try_out(const update::InstalledPackage& candidate,
                                                  const std::vector<ModelOrder>& models, const ServingOptions& options,
                                                  const std::stop_token& stop);
  /// The release is to run: it does, or next() says so from now on. Errors: unavailable (VRG-AGT-100),
  /// failed_precondition (VRG-AGT-101 it was started and did not last), the disk's.
  Result<void> switch_to(const update::InstalledPackage& release);
  /// The agent of the system is to run.
  void end();
  /// The hub has answered.
  void reached_hub() noexcept { reached_hub_ = true; }
  /// Whether this release may be kept: false until it has reached the hub, where the one before could. Errors:
  /// failed_precondition (VRG-AGT-103 it did not within ten minutes).
  Result<bool> proven();

  /// The release that this program is to end for, empty for the agent of the system; nothing: it is the right one.
  [[nodiscard]] const std::optional<std::string>& next() const noexcept { return next_; }
  /// Removes the releases that are none of these, nor this one.
  void keep_only(std::set<std::string> digests) const;

 private:
  Result<void> install(const update::InstalledPackage& release);
  Result<void> place(const update::ReleaseFile& file, const std::filesystem::path& to, bool executable);

  const Origin origin_;
  const std::filesystem::path state_directory_;
  update::Files& files_;
  const bool encrypted_;
  launcher::Releases releases_;
  std::atomic<bool> reached_hub_{false};
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::optional<std::string> next_;
};

}  // namespace verge::agent
