// Ceremony: a folder in which people sign root, targets and delegated roles with keys that no hub has. It is made of
// files only, so that it can be carried to machines without a network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/crypto/key.hpp"
#include "verge/trust/repository.hpp"
#include "verge/wire/ceremony.hpp"
#include "verge/wire/trust_changes.hpp"
#include "verge/wire/trust_status.hpp"

namespace verge::trust {

/// A key, and what people call it.
struct NamedKey {
  std::string name;
  crypto::PublicKey key;
};

/// Its name, or the beginning of its id.
std::string shown_name(const NamedKey& key);
/// Whether people mean this key by `text`: its name, or its id or the first eight digits of it, or more.
bool is_called(const NamedKey& key, std::string_view text);

/// Who must sign a role.
struct Signers {
  std::vector<NamedKey> keys;
  std::int64_t threshold = 1;
};

/// Metadata that is not in force yet.
struct Draft {
  struct Need {
    std::string by;  ///< "root 1", "root 2", "targets".
    std::int64_t threshold = 1;
    std::vector<std::string> signed_by;  ///< Names of keys, or the beginnings of their ids.
    std::vector<std::string> waits_for;
    bool by_hub = false;  ///< The hub signs when it takes it.
    [[nodiscard]] bool met() const { return by_hub || static_cast<std::int64_t>(signed_by.size()) >= threshold; }
  };
  std::string file;
  std::string role;
  std::int64_t version = 0;
  std::int64_t expires_s = 0;
  std::int64_t before_expires_s = 0;  ///< Of the same role in force; 0 when there is none.
  std::vector<Need> needs;
  std::vector<std::string> differences;  ///< From what is in force, one a line: "+ …", "- …", "~ …".
  [[nodiscard]] bool complete() const;
};

/// What goes to the hub, and what stays since signatures are missing.
struct SignedDrafts {
  MetadataFiles files;
  std::vector<std::string> left_out;
};

/// The folder:
///   ceremony.json   settings and names of keys
///   metadata/       what is in force, checked as a device checks it; all roots
///   hub.json        the hub's roles and keys; changes.json: the targets that it wants signed
///   staged/         drafts with the signatures so far
/// A draft whose content stays the same keeps its signatures. Used by one thread. Errors of all: as read_file(),
/// write_file(); VRG-TUF-010 for a damaged file.
class Ceremony {
 public:
  explicit Ceremony(std::filesystem::path folder);
  ~Ceremony();
  Ceremony(Ceremony&&) noexcept;
  Ceremony& operator=(Ceremony&&) noexcept;

  /// Brings metadata up to date and stages what waits: changed targets, and what has less than half of its life left.
  /// What people sign is also taken when it has expired, so that they can renew it; what the hub signs by itself is
  /// not. Trusts the roots that are here; with none, the hub's first. With `new_hub` nothing is fetched: the root in
  /// force is to name the new hub's keys. Errors: those of the client.
  Result<void> fetch(MetadataSource& source, const wire::TrustStatus& hub, const wire::TrustChanges& changes,
                     bool new_hub, std::int64_t now_s);

  [[nodiscard]] Result<wire::CeremonySettings> settings() const;
  Result<void> set_lifetimes(int root_days, int targets_days);
  /// Stages a root by which `role` (a top one) is signed by these, and what that role must sign again.
  /// Errors: invalid_argument (VRG-TUF-016 a threshold that its keys cannot reach, no such role or pattern).
  Result<void> set_signers(std::string_view role, const Signers& signers, std::int64_t now_s);
  /// The signers of a role as staged, or as in force. Errors: VRG-TUF-016.
  [[nodiscard]] Result<Signers> signers(std::string_view role) const;
  /// Stages that the role `name` speaks for targets that match `paths`, and nobody behind it. Without paths: as before.
  /// Errors: VRG-TUF-016.
  Result<void> delegate(const std::string& name, const std::vector<std::string>& paths, const Signers& signers,
                        std::int64_t now_s);
  /// Stages that it does no longer; its targets go back to those who have the others. Errors: VRG-TUF-016.
  Result<void> end_delegation(std::string_view name, std::int64_t now_s);

  /// Root, targets, the others by name.
  [[nodiscard]] Result<std::vector<Draft>> drafts() const;
  /// The drafts that wait for this key's signature.
  [[nodiscard]] Result<std::vector<Draft>> drafts_for(const crypto::PublicKey& key) const;
  /// Signs those drafts. Errors: those of PrivateKey::sign().
  Result<void> sign(const crypto::PrivateKey& key);
  /// Root, targets and bins as one, when all of them are signed; each other role on its own, and also a root whose
  /// keys stay the same.
  /// Errors: failed_precondition (VRG-TUF-015) when nothing can go, naming whose signatures are missing.
  [[nodiscard]] Result<SignedDrafts> publication() const;
  /// The roles in force here, with the names of their keys.
  [[nodiscard]] Result<wire::TrustStatus> status() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace verge::trust
