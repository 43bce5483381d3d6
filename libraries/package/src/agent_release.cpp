#include "verge/package/agent_release.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::package {
namespace {

namespace fs = std::filesystem;

Error no_release(const fs::path& folder, std::string_view what, std::string_view advice) {
  std::error_code failed;
  const bool there = fs::exists(folder, failed);
  return Error(there ? ErrorCode::invalid_argument : ErrorCode::not_found, "VRG-PKG-020",
               fmt::format("expected {} at '{}', {}; {}", what, folder.string(),
                           there ? "got something else" : "where there is nothing", advice));
}

Error unreadable(const fs::path& folder, const std::error_code& failed) {
  return Error(ErrorCode::unavailable, "VRG-BAS-001",
               fmt::format("cannot read the folder '{}': {}", folder.string(), failed.message()));
}

/// Regular files below `root / inside`, by their paths relative to `root`.
Result<std::vector<std::string>> files_in(const fs::path& root, const fs::path& inside, bool follow_links) {
  std::vector<std::string> paths;
  std::error_code failed;
  const auto folder = inside.empty() ? root : root / inside;
  fs::recursive_directory_iterator entries(folder, failed);
  for (; !failed && entries != fs::recursive_directory_iterator(); entries.increment(failed)) {
    const std::string path = entries->path().lexically_relative(root).generic_string();
    if (entries->is_directory() && !entries->is_symlink()) continue;
    VERGE_TRY(path_inside(folder, path));
    if (!entries->is_regular_file() || (entries->is_symlink() && !follow_links)) {
      return Error(
          ErrorCode::invalid_argument, "VRG-PKG-021",
          fmt::format("'{}' is not a regular file; a release of the agent holds nothing else: remove it", path));
    }
    if (paths.size() == kFileCountLimit) {
      return Error(ErrorCode::resource_exhausted, "VRG-PKG-003",
                   fmt::format("'{}' has too many files: expected at most {}", folder.string(), kFileCountLimit));
    }
    paths.push_back(path);
  }
  if (failed) return unreadable(folder, failed);
  std::ranges::sort(paths);
  return paths;
}

bool is_executable(const fs::path& file) {
  std::error_code failed;
  return (fs::status(file, failed).permissions() & fs::perms::owner_exec) != fs::perms::none;
}

/// The agent's files in an installed tree: its program, and what lies in lib/verge or lib/<triplet>/verge. Nothing else
/// of the tree is looked at: it may be all of /usr.
Result<std::vector<std::string>> agents_files(const fs::path& tree) {
  std::vector<std::string> paths{std::string(kAgentProgram)};
  std::vector<fs::path> folders{"lib/verge"};
  std::error_code failed;
  for (fs::directory_iterator entries(tree / "lib", failed); !failed && entries != fs::directory_iterator();
       entries.increment(failed)) {
    if (entries->path().filename() != "verge")
      folders.push_back(fs::path("lib") / entries->path().filename() / "verge");
  }
  for (const auto& folder : folders) {
    if (!fs::is_directory(tree / folder, failed)) continue;
    VERGE_ASSIGN(const auto more, files_in(tree, folder, true));
    paths.insert(paths.end(), more.begin(), more.end());
  }
  return paths;
}

Result<void> place_copy(const fs::path& from, const fs::path& to) {
  std::error_code failed;
  fs::create_directories(to.parent_path(), failed);
  if (!failed) fs::copy_file(from, to, failed);
  if (!failed) return {};
  const bool full = failed == std::errc::no_space_on_device;
  return Error(full ? ErrorCode::resource_exhausted : ErrorCode::unavailable, full ? "VRG-BAS-002" : "VRG-BAS-001",
               fmt::format("cannot write '{}': {}{}", to.string(), failed.message(), full ? "; free some space" : ""));
}

}  // namespace

Result<AgentRelease> open_release(const fs::path& folder) {
  std::error_code failed;
  if (!fs::exists(folder / kReleaseFile, failed)) {
    return no_release(folder, "a release of the agent", "make one with 'verge agent package TREE FOLDER'");
  }
  AgentRelease release;
  release.root = folder;
  VERGE_ASSIGN(const auto paths, files_in(folder, {}, false));
  for (const auto& path : paths) {
    VERGE_ASSIGN(const auto digest, crypto::sha256_of_file(folder / path, kFileLimitBytes));
    release.files.push_back({path, digest.digest, digest.size_bytes});
  }
  VERGE_ASSIGN(const wire::Node node, wire::read_document(folder / kReleaseFile, kReleaseFile));
  VERGE_ASSIGN(release.release, wire::read_agent_release(node, wire::Place(kReleaseFile)));
  auto programs = release.release.executables;
  programs.push_back(release.release.program);
  for (const auto& program : programs) {
    if (std::ranges::binary_search(paths, program)) continue;
    return Error(ErrorCode::not_found, "VRG-PKG-022",
                 fmt::format("{} names '{}', which the release does not hold; add it", kReleaseFile, program));
  }
  release.digest = make_manifest(release.release, release.files).manifest_digest;
  return release;
}

Result<AgentRelease> make_release(const fs::path& tree, wire::AgentRelease release, const fs::path& folder) {
  std::error_code failed;
  if (!fs::exists(tree / kAgentProgram, failed)) {
    return no_release(tree, fmt::format("an installed agent ({})", kAgentProgram),
                      "make a tree with 'cmake --install build/release --prefix TREE'");
  }
  if (fs::exists(folder, failed) && !fs::is_empty(folder, failed)) {
    return Error(ErrorCode::already_exists, "VRG-PKG-015",
                 fmt::format("'{}' is not empty; name a new folder", folder.string()));
  }
  release.program = kAgentProgram;
  release.executables.clear();
  VERGE_TRY(
      wire::read_agent_release(wire::to_node(release), wire::Place(kReleaseFile)));  // Before anything is written.
  VERGE_ASSIGN(const auto paths, agents_files(tree));
  for (const auto& path : paths) {
    VERGE_TRY(place_copy(tree / path, folder / path));
    const bool library = path.find(".so") != std::string::npos;  // Some are installed as executables: none is run.
    if (path != kAgentProgram && !library && is_executable(tree / path)) release.executables.push_back(path);
  }
  VERGE_TRY(write_file(folder / kReleaseFile, wire::write_json(wire::to_node(release))));
  return open_release(folder);
}

}  // namespace verge::package
