// Agent release: the agent with its engines and parts as one immutable unit, which devices install beside the one that
// runs.
//
// As a folder: release.json, bin/verge-agent, and lib/…/verge/… with everything that it loads. It travels as a model
// package does (image_layout.hpp): one file, one layer, so that what did not change stays where it is.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/wire/agent_release.hpp"

namespace verge::package {

inline constexpr std::string_view kReleaseFile = "release.json";
inline constexpr std::string_view kAgentName = "verge-agent";
inline constexpr std::string_view kAgentProgram = "bin/verge-agent";
inline constexpr std::string_view kAgentArtifactType = "application/vnd.verge.agent.v1";
inline constexpr std::string_view kAgentConfigMediaType = "application/vnd.verge.agent.config.v1+json";
inline constexpr std::string_view kAgentFileMediaType = "application/vnd.verge.agent.file.v1.raw";

/// A release whose document has been read and whose files have been hashed.
struct AgentRelease {
  std::filesystem::path root;
  std::string digest;              ///< Of the OCI manifest that these files make.
  std::vector<PackageFile> files;  ///< Sorted by path; release.json is one of them.
  wire::AgentRelease release;
};

/// The manifest that a release makes. Pure.
[[nodiscard]] Manifest make_manifest(const wire::AgentRelease& release, const std::vector<PackageFile>& files);

/// Opens a release's folder. Errors: invalid_argument, not_found (VRG-PKG-020 no release there, 021 something in it
/// that is no regular file, 022 a program that it names is not there), resource_exhausted (VRG-PKG-003), VRG-DOC-….
Result<AgentRelease> open_release(const std::filesystem::path& folder);

/// Copies what an agent consists of out of an installed tree (bin/verge-agent, and lib/…/verge) into the new folder
/// `folder`, with a release.json. `release.program` and `release.executables` are found. Errors: not_found (VRG-PKG-020
/// no installed agent at `tree`), already_exists (VRG-PKG-015 `folder` is not empty), as write_file().
Result<AgentRelease> make_release(const std::filesystem::path& tree, wire::AgentRelease release,
                                  const std::filesystem::path& folder);

}  // namespace verge::package
