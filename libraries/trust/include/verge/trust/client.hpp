// TUF client: which targets are trusted (The Update Framework 1.0,
// https://theupdateframework.github.io/specification/).
//
// Pure: metadata files, their transport and the clock come from outside, so that the same code runs in the agent, in
// verge-tuf-client and in the simulator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/document.hpp"

namespace verge::trust {

/// Limits of the client; larger files are refused before they are read whole.
inline constexpr std::uint64_t kRootLimitBytes = 512'000;
inline constexpr std::uint64_t kTimestampLimitBytes = 16'384;
inline constexpr std::uint64_t kSnapshotLimitBytes = 2'000'000;
inline constexpr std::uint64_t kTargetsLimitBytes = wire::kDocumentLimitBytes;
inline constexpr int kRootRotationLimit = 256;
inline constexpr int kDelegationLimit = 32;
/// Most roles of a repository that load_all() reads.
inline constexpr std::size_t kRoleLimit = 8192;

/// Keeps trusted metadata, by role ("root", "timestamp", "snapshot", "targets", delegated names), byte for byte. Names
/// come percent-encoded, so that no name holds a '/'.
class MetadataStore {
 public:
  virtual ~MetadataStore() = default;
  /// Errors: not_found when there is none; those of storage.
  virtual Result<std::string> read(std::string_view role) = 0;
  /// Must be atomic: the old content or the new after a crash.
  virtual Result<void> write(std::string_view role, std::string_view content) = 0;
};

/// Where metadata comes from.
class MetadataSource {
 public:
  virtual ~MetadataSource() = default;
  /// File `name`, such as "2.root.json" or "timestamp.json" (percent-encoded: part of a URL as it is), of at most
  /// `limit_bytes`. Errors: not_found when the repository has none of that name; resource_exhausted when it is larger;
  /// those of transport.
  virtual Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) = 0;
};

/// A trusted target.
struct Target {
  std::string path;
  std::uint64_t length_bytes = 0;
  std::string digest;  ///< "sha256:…", or "sha512:…" where the repository gives only that.
  wire::Node custom;   ///< Kind null when it has none.
};

/// The client's workflow (section 5 of the specification). Used by one thread. Whatever goes wrong, what was trusted
/// before stays trusted and stored.
/// Errors: unauthenticated (VRG-TUF-001 too few valid signatures, names role, threshold and count), data_loss
/// (VRG-TUF-002 not metadata of that role; 003 digest or length differs from what is declared), failed_precondition
/// (VRG-TUF-004 an older version than trusted: rollback; 005 expired, names role, its date and the clock's, 006 the
/// parts do not belong together), not_found (VRG-TUF-007 no such target), resource_exhausted (VRG-TUF-008 too large,
/// too many rotations or delegations), and the transport's.
class Client {
 public:
  /// `store` must outlive the client. Trusts the root that is stored; with none there, `trusted_root`, which it stores.
  static Result<Client> open(MetadataStore& store, std::string_view trusted_root);
  /// A client for those who sign anew, never for a device: root, targets and delegated roles may have expired. All else
  /// is checked as by any client, and no target is given by what has expired.
  static Result<Client> open_to_renew(MetadataStore& store, std::string_view trusted_root);

  /// Root (with rotations), timestamp, snapshot and top-level targets, against the clock `now_s` (since 1970).
  Result<void> refresh(MetadataSource& source, std::int64_t now_s);
  /// A target of the refreshed metadata; looks into delegations, and fetches them where needed.
  Result<Target> target(MetadataSource& source, std::string_view path, std::int64_t now_s);
  /// Verifies all roles that are delegated, directly or not, so that the store has their metadata. Errors: as target();
  /// unimplemented (VRG-TUF-012) for succinct hash bins.
  Result<void> load_all(MetadataSource& source, std::int64_t now_s);
  /// All targets of the top-level role, in the order of their paths. Empty before refresh().
  [[nodiscard]] std::vector<Target> top_level_targets() const;
  /// Version of the trusted root.
  [[nodiscard]] std::int64_t root_version() const noexcept;
  /// Whether the trusted root asks for file names with digests and versions.
  [[nodiscard]] bool consistent_snapshot() const noexcept;

  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Checks content against a target. Errors: data_loss (VRG-TUF-003).
Result<void> check_target(const Target& target, std::string_view content);

}  // namespace verge::trust
