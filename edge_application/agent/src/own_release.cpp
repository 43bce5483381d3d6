#include "own_release.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "trial.hpp"
#include "verge/base/descriptor.hpp"
#include "verge/base/file.hpp"

namespace verge::agent {
namespace {

namespace fs = std::filesystem;

constexpr int kTrialTimeout_s = 300;
constexpr int kCheckTimeout_s = 60;
constexpr std::chrono::minutes kHubPatience{10};
constexpr std::size_t kPieceBytes = std::size_t{256} << 10U;
constexpr mode_t kFileMode = 0600;
constexpr mode_t kProgramMode = 0700;

Error not_by_launcher(ErrorCode code) {
  return Error(code, "VRG-AGT-100",
               "expected an agent that verge-launcher has started, which alone can start another release, got one that "
               "was started by itself; start it with: verge-launcher --config edge_config.yaml");
}

Error cannot_write(const fs::path& path, int reason) {
  const bool full = reason == ENOSPC || reason == EDQUOT;
  return Error(
      full ? ErrorCode::resource_exhausted : ErrorCode::unavailable, full ? "VRG-BAS-002" : "VRG-BAS-001",
      fmt::format("cannot write '{}': {}{}", path.string(), std::strerror(reason), full ? "; free some space" : ""));
}

Result<void> sync(const fs::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file || ::fsync(file.number()) != 0) return cannot_write(path, errno);
  return {};
}

/// Copies what is in the store; what was encrypted there is readable here: a release holds no secret.
Result<void> copy(update::OpenedFile& from, const fs::path& to) {
  const Descriptor out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (!out) return cannot_write(to, errno);
  std::vector<std::byte> piece(kPieceBytes);
  for (std::uint64_t at = 0; at < from.size_bytes();) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), from.size_bytes() - at));
    VERGE_TRY(from.read(at, std::span(piece).first(length)));
    for (std::size_t done = 0; done < length;) {
      const auto put = ::write(out.number(), piece.data() + done, length - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return cannot_write(to, errno);
      done += static_cast<std::size_t>(put);
    }
    at += length;
  }
  if (::fsync(out.number()) != 0) return cannot_write(to, errno);
  return {};
}

/// The folders in a tree and itself, so that names in them survive.
Result<void> sync_folders(const fs::path& root) {
  VERGE_TRY(sync(root));
  std::error_code failed;
  for (fs::recursive_directory_iterator entries(root, failed); !failed && entries != fs::recursive_directory_iterator();
       entries.increment(failed)) {
    if (entries->is_directory()) VERGE_TRY(sync(entries->path()));
  }
  if (failed) return cannot_write(root, failed.value());
  return {};
}

}  // namespace

OwnRelease::OwnRelease(Origin origin, fs::path state_directory, update::Files& files, bool encrypted)
    : origin_(std::move(origin)),
      state_directory_(std::move(state_directory)),
      files_(files),
      encrypted_(encrypted),
      releases_(state_directory_) {}

Result<void> OwnRelease::place(const update::ReleaseFile& file, const fs::path& to, bool executable) {
  std::error_code failed;
  fs::create_directories(to.parent_path(), failed);
  if (failed) return cannot_write(to, failed.value());
  if (encrypted_) {
    VERGE_ASSIGN(const auto stored, files_.open(file.stored));
    VERGE_TRY(copy(*stored, to));
  } else if (::link((state_directory_ / file.stored).c_str(), to.c_str()) != 0) {
    return cannot_write(to, errno);
  }
  if (executable && ::chmod(to.c_str(), kProgramMode) != 0) return cannot_write(to, errno);
  return {};
}

Result<void> OwnRelease::install(const update::InstalledPackage& release) {
  if (releases_.check(release.digest)) return {};
  const auto folder = releases_.folder(release.digest);
  auto part = folder;
  part += ".part";
  std::error_code failed;
  for (const auto& old : {part, folder}) fs::remove_all(old, failed);
  wire::InstalledAgent installed;
  installed.version = 1;
  installed.release = release.release->version;
  installed.program = release.release->program;
  installed.must_reach_hub = reached_hub_;
  for (const auto& file : release.files) {
    VERGE_ASSIGN(const auto to, path_inside(part, file.path));
    const bool executable =
        file.path == installed.program ||
        std::ranges::find(release.release->executables, file.path) != release.release->executables.end();
    VERGE_TRY(place(file, to, executable));
    wire::InstalledFile one;
    one.path = file.path;
    one.digest = file.digest;
    one.size_bytes = static_cast<std::int64_t>(file.size_bytes);
    installed.files.push_back(std::move(one));
  }
  VERGE_TRY(sync_folders(part));
  fs::rename(part, folder, failed);
  if (failed) return cannot_write(folder, failed.value());
  VERGE_TRY(sync(folder.parent_path()));
  VERGE_TRY(sync(state_directory_));
  return releases_.set_installed(release.digest, installed);
}

Result<std::vector<update::ModelTrial>> OwnRelease::try_out(const update::InstalledPackage& candidate,
                                                            const std::vector<ModelOrder>& models,
                                                            const ServingOptions& options,
                                                            const std::stop_token& stop) {
  if (!origin_.by_launcher) return not_by_launcher(ErrorCode::failed_precondition);
  VERGE_TRY(install(candidate));
  const auto program = releases_.folder(candidate.digest) / candidate.release->program;
  VERGE_ASSIGN(const auto refusal, check_configuration_apart(program, origin_.configuration, kCheckTimeout_s, stop));
  if (!refusal.empty()) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-102",
                 fmt::format("release {} of the agent does not take this device's configuration: {}; the agent before "
                             "goes on",
                             candidate.release->version, refusal));
  }
  std::vector<update::ModelTrial> trials;
  for (const auto& model : models) {
    VERGE_ASSIGN(auto trial, try_out_apart({model, options, program}, kTrialTimeout_s, stop));
    trials.push_back(std::move(trial));
  }
  releases_.forget_starts(candidate.digest);  // Of an earlier attempt.
  return trials;
}

Result<void> OwnRelease::switch_to(const update::InstalledPackage& release) {
  next_.reset();
  if (!origin_.by_launcher) return not_by_launcher(ErrorCode::unavailable);
  if (release.digest == origin_.release) return {};
  const auto starts = releases_.starts(release.digest);
  if (starts.failed >= launcher::kMostFailed || starts.cut_off >= launcher::kMostCutOff) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-101",
                 fmt::format("release {} of the agent was started and did not last: {}; the agent before is back",
                             release.release->version, starts.reason.value_or("the machine went off")));
  }
  VERGE_TRY(install(release));
  next_ = release.digest;
  return {};
}

void OwnRelease::end() {
  next_.reset();
  if (!origin_.release.empty()) next_ = "";
}

Result<bool> OwnRelease::proven() {
  const auto installed = releases_.installed(origin_.release);
  if (reached_hub_ || !installed || !installed->must_reach_hub) return true;
  if (std::chrono::steady_clock::now() - started_ < kHubPatience) return false;
  return Error(ErrorCode::failed_precondition, "VRG-AGT-103",
               fmt::format("expected release {} of the agent to reach the hub, as the one before did, got no answer "
                           "within {} minutes; the agent before is back",
                           installed->release, kHubPatience.count()));
}

void OwnRelease::keep_only(std::set<std::string> digests) const {
  if (!origin_.release.empty()) digests.insert(origin_.release);
  releases_.keep_only(digests);
}

}  // namespace verge::agent
