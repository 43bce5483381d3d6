// Repository state: what is in force, in memory as on disk.
#pragma once

#include "repository_files.hpp"
#include "role_layout.hpp"
#include "verge/trust/repository.hpp"

namespace verge::trust {

using TargetsRoles = std::map<std::string, Targets, std::less<>>;

struct Repository::State {
  std::filesystem::path folder;
  Lifetimes lifetimes;
  RoleKeys keys{};  ///< Those at hand.
  std::string root_text{};
  Root root{};
  Timestamp timestamp{};
  Snapshot snapshot{};
  TargetsRoles roles{};          ///< "targets" and what it delegates to.
  std::vector<Target> wanted{};  ///< By path.

  [[nodiscard]] std::filesystem::path path(std::string_view role, std::int64_t version) const {
    return folder / "metadata" / (role == kTimestamp ? "timestamp.json" : file_name(role, version));
  }
  [[nodiscard]] int days(std::string_view role) const;
  [[nodiscard]] Header next_header(std::string_view role, std::int64_t version, std::int64_t now_s) const {
    return make_header(role, version + 1, now_s + days(role) * kDay_s);
  }
  [[nodiscard]] bool is_old(const Header& header, std::int64_t now_s) const {
    return header.expires_s - now_s < days(header.role) * kDay_s / 2;
  }
  [[nodiscard]] const crypto::PrivateKey& key(std::string_view role) const { return keys.find(role)->second; }
  /// Whether the key at hand alone may sign for the role of the root.
  [[nodiscard]] bool holds(std::string_view role) const;
  /// The same for "targets" or a role that it delegates to.
  [[nodiscard]] bool holds_targets_role(std::string_view role) const;
  [[nodiscard]] const Targets& top() const { return roles.find(kTargets)->second; }
  /// The delegations as they should be for so many targets, when the targets key is at hand.
  [[nodiscard]] std::optional<Delegations> delegations_for(std::size_t targets) const;

  // repository_loading.cpp
  Result<void> load(std::int64_t now_s);
  Result<void> load_keys(bool fresh);
  /// Settles which of two keys a rotation that was cut off left in force.
  Result<void> settle_keys(const Root& newest);
  Result<void> load_targets();
  Result<std::string> text(std::string_view role, std::int64_t version) const;
  Result<SignedFile> load_file(std::string_view role, std::int64_t version) const;
  /// A rotation that was cut off leaves metadata signed by the key of an earlier root. Errors: VRG-TUF-010.
  Result<void> check_signed_before(const SignedFile& file) const;

  Result<void> write_root(const Root& next, const std::vector<const crypto::PrivateKey*>& signers);
  /// Signs the roles as they are given, but for their headers, and puts them in force: the timestamp is written last.
  Result<void> put_in_force(TargetsRoles&& changed, std::int64_t now_s);
  Result<void> write_snapshot(std::map<std::string, FileMeta, std::less<>> files, std::int64_t now_s);
  Result<void> write_timestamp(std::string_view snapshot_text, std::int64_t now_s);
  void remove_old(std::string_view role, std::int64_t version) const;
  /// Signs all that the targets key signs with the one that the root names now.
  Result<void> sign_targets_again(std::int64_t now_s);

  // publication.cpp
  /// Goes on with a publication that a crash cut off once it was decided.
  Result<void> finish_publication();
};

Error damaged_file(const std::filesystem::path& path, std::string_view what);

}  // namespace verge::trust
