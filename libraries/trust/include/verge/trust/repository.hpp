// TUF repository: makes and signs the metadata that clients trust.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
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

/// Metadata by file name, such as "2.root.json".
using MetadataFiles = std::map<std::string, std::string, std::less<>>;

/// Whether a file of this name may be part of what Repository::accept() takes.
bool is_publication_file(std::string_view name);

/// A target that is wanted and not signed as wanted.
struct TargetChange {
  enum class Kind { added, changed, removed };
  Kind kind = Kind::added;
  std::string role;  ///< The role that is to list it, or that lists it still.
  Target target;     ///< As wanted; when removed, as signed.
};

/// A role of metadata in force.
struct RoleInfo {
  struct Key {
    std::string id;
    std::string kind;        ///< "ed25519", "ecdsa" or "rsa".
    bool held = false;       ///< The repository has its private half.
    std::string public_key;  ///< As PEM; empty for a kind that is not understood.
  };
  std::string name;
  std::int64_t version = 0;
  std::int64_t expires_s = 0;
  std::int64_t threshold = 1;
  std::vector<Key> keys;
  std::vector<std::string> paths;  ///< Of a delegated role.
  std::size_t targets = 0;
};

/// Which targets clients will find. Immutable: may be read by any thread.
class SignedTargets {
 public:
  /// Errors: failed_precondition (VRG-TUF-014) for a target that waits for a signature by keys that are elsewhere.
  [[nodiscard]] Result<void> check(std::string_view path, std::string_view digest) const;

 private:
  friend class Repository;
  struct State;
  std::shared_ptr<const State> state_;
};

/// A repository with one Ed25519 key for each role, in a folder:
///   keys/{root,targets,snapshot,timestamp}.pem   (mode 0600)
///   metadata/{N.root,N.targets,N.ROLE,N.snapshot,timestamp}.json
/// Consistent snapshots are on. More targets than one small file takes are shared out into bins, which the targets keys
/// sign. The keys of root and targets may move elsewhere, and parts of the targets may be delegated to others: then
/// accept() takes what they sign. A crash between two writes leaves the old timestamp, and so the old state, in force.
/// Not thread-safe.
class Repository {
 public:
  /// Opens the folder, or makes keys and first metadata in it. Errors: as write_file(); data_loss (VRG-TUF-010
  /// damaged).
  static Result<Repository> open(const std::filesystem::path& folder, const Lifetimes& lifetimes, std::int64_t now_s);

  /// All targets, from now on; signs and writes what the keys at hand can sign. Does nothing when they are the same as
  /// before. What others must sign is in changes() then.
  Result<void> publish(std::vector<Target> targets, std::int64_t now_s);
  /// Signs again what has less than half of its life left, and whose keys are at hand. True when it did.
  Result<bool> renew(std::int64_t now_s);
  /// For one that was restored from an older copy, whose clients may have seen newer: signs again all that the keys at
  /// hand can sign, with versions from the time in seconds on, which no count of publications reaches. Of no more use
  /// when it fails.
  Result<void> skip_versions(std::int64_t now_s);
  /// New key for `role`, signed into a new root (which the old root key signs, and the new one too when it is root's).
  /// Errors: failed_precondition (VRG-TUF-013) when the root's or the role's key is elsewhere.
  Result<void> rotate(std::string_view role, std::int64_t now_s);

  /// Metadata that others signed: new versions of root ("N.root.json", in turn), of targets and of delegated roles.
  /// Checks all of it as a client does that trusts what is in force, with a snapshot and timestamp signed here; puts it
  /// in force as one, or changes nothing. A delegated role that is not among them may have expired: clients miss its
  /// targets only. The root key at hand, if any, signs what hands the root over; then private
  /// keys that the new root names no more are removed. `adopt`: takes the whole chain, from "1.root.json" on, in place
  /// of its own. Errors: those of the client; invalid_argument (VRG-TUF-012 no such file), failed_precondition
  /// (VRG-TUF-013 the root names keys for snapshot and timestamp that are not at hand).
  Result<void> accept(const MetadataFiles& files, bool adopt, std::int64_t now_s);
  /// The key with which the repository would sign `role` (snapshot or timestamp) once a root names it; made when there
  /// is none. Errors: VRG-TUF-011; as write_file().
  Result<RoleInfo::Key> next_key(std::string_view role);

  /// First root metadata, for devices that enrol: the newest.
  [[nodiscard]] const std::string& root() const noexcept;
  /// The file's content, to serve. Errors: not_found (VRG-TUF-011).
  Result<std::string> metadata(std::string_view file_name) const;
  /// All targets in force, by role, then by path.
  [[nodiscard]] std::vector<Target> targets() const;
  /// The target that clients find, or null.
  [[nodiscard]] const Target* find(std::string_view path) const;
  /// What publish() was given last and is not signed so, by path.
  [[nodiscard]] std::vector<TargetChange> changes() const;
  [[nodiscard]] SignedTargets signed_targets() const;
  /// Roles in force: the four of the top, then the delegated ones in the order of trust.
  [[nodiscard]] std::vector<RoleInfo> roles() const;

  ~Repository();
  Repository(Repository&&) noexcept;
  Repository& operator=(Repository&&) noexcept;

 private:
  friend struct Publication;  // publication.cpp
  struct State;
  explicit Repository(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::trust
