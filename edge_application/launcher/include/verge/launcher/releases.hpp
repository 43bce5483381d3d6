// Releases: the releases of the agent that a device's store holds, and how their starts ended.
//
//   applications/verge-agent/{active,previous}.json  what the agent's update has decided (verge/update)
//   agents/<hex>/…      a release, whole once agents/<hex>.json is there
//   agents/<hex>.json   what is in it (schemas/state/installed_agent)
//   agents/<hex>.starts.json  starts that did not last (schemas/state/agent_starts); verge-launcher's word
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/agent_starts.hpp"
#include "verge/wire/installed_agent.hpp"

namespace verge::launcher {

/// The exit status by which an agent asks to be followed by the release that is active by now.
inline constexpr int kStartAnother = 100;
/// A release that ends by itself so often, one time after the other, is not started again.
inline constexpr std::int64_t kMostFailed = 3;
/// The same when the machine went off with it: nobody saw why.
inline constexpr std::int64_t kMostCutOff = 10;
/// A start that lasted so long, after the agent was ready, is a good one.
inline constexpr std::int64_t kLasting_s = 300;

/// This process's environment for a release of the agent, which has engines of its own: "NAME=value" each.
[[nodiscard]] std::vector<std::string> environment_of_release();

/// What to start.
struct Choice {
  std::string digest;  ///< Of the release; empty: the agent that the system was installed with.
  std::string release;
  std::filesystem::path program;
};

/// Used by one process for each of its calls: the launcher notes starts, the agent installs.
class Releases {
 public:
  explicit Releases(std::filesystem::path state_directory) : state_(std::move(state_directory)) {}

  /// The active release, else the one before it, that is whole and has not failed too often; nothing: neither is.
  /// `told` gets a line for each that is passed over.
  [[nodiscard]] std::optional<Choice> choose(std::vector<std::string>& told);

  [[nodiscard]] std::filesystem::path folder(const std::string& digest) const;
  /// Errors: not_found (not installed), VRG-DOC-….
  [[nodiscard]] Result<wire::InstalledAgent> installed(const std::string& digest) const;
  /// Checks every file of it. Errors: those of installed(), data_loss (VRG-LCH-001).
  [[nodiscard]] Result<wire::InstalledAgent> check(const std::string& digest) const;
  /// Says that the folder is whole: from then on it may be started. Errors: the disk's.
  Result<void> set_installed(const std::string& digest, const wire::InstalledAgent& release) const;
  /// Removes all but these. What cannot be removed stays.
  void keep_only(const std::set<std::string>& digests) const;

  [[nodiscard]] wire::AgentStarts starts(const std::string& digest) const;
  /// Before it is started. A disk that does not take it does not keep the agent from starting.
  void note_start(const std::string& digest) const;
  /// It ended by itself before it had lasted, which counts `weight` times.
  void note_failed(const std::string& digest, const std::string& reason, std::int64_t weight = 1) const;
  /// It lasted, or was ended; or somebody wants it to be tried anew.
  void forget_starts(const std::string& digest) const;

 private:
  void write(const std::string& digest, const wire::AgentStarts& starts) const;
  [[nodiscard]] std::filesystem::path file(const std::string& digest, const char* end) const;

  std::filesystem::path state_;
};

}  // namespace verge::launcher
