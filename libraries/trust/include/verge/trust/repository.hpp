// TUF repository: makes and signs the metadata that clients trust.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/trust/client.hpp"

namespace verge::trust {

/// How long metadata is valid, in days. Renewed by renew() when less than half of it is left.
struct Lifetimes {
  int root_days = 3650;
  int targets_days = 365;
  int snapshot_days = 30;
  int timestamp_days = 7;
};

/// A repository with one Ed25519 key for each role, in a folder:
///   keys/{root,targets,snapshot,timestamp}.pem   (mode 0600)
///   metadata/{N.root,N.targets,N.snapshot,timestamp}.json
/// Consistent snapshots are on. A crash between two writes leaves the old timestamp, and so the old state, in force.
/// Not thread-safe.
class Repository {
 public:
  /// Opens the folder, or makes keys and first metadata in it. Errors: as write_file(); data_loss (VRG-TUF-010
  /// damaged).
  static Result<Repository> open(const std::filesystem::path& folder, const Lifetimes& lifetimes, std::int64_t now_s);

  /// All targets, from now on; signs and writes new targets, snapshot and timestamp metadata. Does nothing when they
  /// are the same as before.
  Result<void> publish(std::vector<Target> targets, std::int64_t now_s);
  /// Signs again what has less than half of its life left. True when it did.
  Result<bool> renew(std::int64_t now_s);
  /// New key for `role`, signed into a new root (which the old root key signs, and the new one too when it is root's).
  Result<void> rotate(std::string_view role, std::int64_t now_s);

  /// First root metadata, for devices that enrol: the newest.
  [[nodiscard]] const std::string& root() const noexcept;
  /// The file's content, to serve. Errors: not_found (VRG-TUF-011).
  Result<std::string> metadata(std::string_view file_name) const;
  [[nodiscard]] const std::vector<Target>& targets() const noexcept;

  ~Repository();
  Repository(Repository&&) noexcept;
  Repository& operator=(Repository&&) noexcept;

 private:
  struct State;
  explicit Repository(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::trust
