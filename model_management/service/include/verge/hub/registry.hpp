// Registry: repositories of blobs, manifests and tags (OCI distribution specification 1.1), without its HTTP.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/hub/principal.hpp"
#include "verge/wire/garbage_report.hpp"
#include "verge/wire/registry_usage.hpp"

namespace verge::hub {

struct Core;
class Transaction;

/// How much a registry may hold, and how long it keeps what nothing needs.
struct RegistrySetup {
  std::uint64_t quota_bytes = 0;              ///< Of everything together, what is shared counted once; 0: no limit.
  std::uint64_t repository_quota_bytes = 0;   ///< Of each repository; 0: no limit.
  std::int64_t grace_ms = 3'600'000;          ///< What was pushed or asked for within it is never garbage.
  std::int64_t collect_every_ms = 3'600'000;  ///< How often garbage is collected by itself; 0: never.
  bool remove_untagged = false;               ///< Whether manifests without a tag are garbage.
  /// Left free on the disk, so that the database can go on when pushes have filled it.
  std::uint64_t disk_reserve_bytes = std::uint64_t{64} << 20U;
};

/// Most bytes that a manifest may have.
inline constexpr std::uint64_t kManifestLimitBytes = std::uint64_t{4} << 20U;

/// Thread-safe. Reading needs the right to read, everything else the right to publish; digests are sha256 or sha512,
/// written strictly. What writes refuses what would not fit: resource_exhausted (VRG-OCI-012 a quota, 015 the disk).
class Registry {
 public:
  explicit Registry(Core& core) : core_(core) {}

  struct Blob {
    std::filesystem::path file;
    std::string digest;
    std::uint64_t size_bytes = 0;
  };
  /// Who asks may rely on it for the grace period. Errors: not_found (VRG-OCI-001 no such blob), invalid_argument
  /// (VRG-OCI-004 not a digest).
  Result<Blob> blob(const Principal& caller, const std::string& repository, const std::string& digest);
  /// Errors: as blob(); failed_precondition (VRG-OCI-009 a manifest names it).
  Result<void> delete_blob(const Principal& caller, const std::string& repository, const std::string& digest);

  struct Upload {
    std::string id;
    std::uint64_t size_bytes = 0;
  };
  Result<Upload> begin_upload(const Principal& caller, const std::string& repository);
  /// Takes a blob from another repository (`from` empty: from any); false when it is not there. Errors:
  /// invalid_argument (VRG-OCI-004 not a digest).
  Result<bool> mount(const Principal& caller, const std::string& repository, const std::string& digest,
                     const std::string& from);
  /// Errors: not_found (VRG-OCI-002 no such upload).
  Result<Upload> upload(const Principal& caller, const std::string& repository, const std::string& id);

  /// A part of a blob's content.
  struct Piece {
    std::filesystem::path file{};          ///< Moved away or copied; empty: nothing comes.
    std::optional<std::uint64_t> first{};  ///< Where it belongs in the blob: must be where the upload ends.
    std::optional<std::uint64_t> last{};   ///< Its last byte.
  };
  /// Puts the piece behind what is there. Errors: as upload(); out_of_range (VRG-OCI-003 not where the upload ends),
  /// invalid_argument (VRG-OCI-013 another size than first and last say), aborted (VRG-OCI-016 another request is at
  /// work on the upload).
  Result<Upload> append(const Principal& caller, const std::string& repository, const std::string& id,
                        const Piece& piece);
  /// Appends the piece and makes the upload a blob; when that fails, the piece is not appended. Errors: as append();
  /// data_loss (VRG-HUB-004), invalid_argument (VRG-OCI-004 not a digest).
  Result<Blob> finish(const Principal& caller, const std::string& repository, const std::string& id,
                      const std::string& digest, const Piece& piece);
  Result<void> cancel(const Principal& caller, const std::string& repository, const std::string& id);

  struct Manifest {
    std::string digest;
    std::string media_type;
    std::string content;
    std::string subject;
  };
  /// `reference`: a tag or a digest. Errors: not_found (VRG-OCI-005), invalid_argument (VRG-OCI-004, 011 neither).
  Result<Manifest> manifest(const Principal& caller, const std::string& repository, const std::string& reference);
  /// `reference`: a tag, or a digest, with `tags` that it gets as well. A model package becomes a version of a model.
  /// Errors: invalid_argument (VRG-OCI-006 not a manifest, 011 not a tag), not_found (VRG-OCI-007 a blob is missing),
  /// data_loss (VRG-HUB-004), already_exists (VRG-HUB-023 the version is there with another digest), invalid_argument
  /// (VRG-HUB-024 name or version differ from the metadata, 029 a version by sha512), resource_exhausted (VRG-OCI-014
  /// larger than kManifestLimitBytes).
  Result<Manifest> put_manifest(const Principal& caller, const std::string& repository, const std::string& reference,
                                const std::string& media_type, const std::string& content,
                                const std::vector<std::string>& tags = {});
  /// Its blobs stay until garbage is collected.
  Result<void> delete_manifest(const Principal& caller, const std::string& repository, const std::string& reference);
  /// In order. Errors: not_found (VRG-OCI-008 no such repository).
  Result<std::vector<std::string>> tags(const Principal& caller, const std::string& repository);
  struct Referrers {
    std::string index;  ///< Image index in JSON.
    std::string next;   ///< What to ask with as `after` for the rest; empty: that was all.
  };
  /// Descriptors of manifests whose subject is `digest`, after the digest `after`, as many as fit into a manifest.
  /// Errors: invalid_argument (VRG-OCI-004 not a digest).
  Result<Referrers> referrers(const Principal& caller, const std::string& repository, const std::string& digest,
                              const std::string& artifact_type, const std::string& after);
  /// All names, in order.
  Result<std::vector<std::string>> repositories(const Principal& caller);

  Result<wire::RegistryUsage> usage(const Principal& caller);
  /// How many bytes more may come for the repository now.
  [[nodiscard]] std::uint64_t room_bytes(const std::string& repository);
  /// Errors: resource_exhausted (VRG-OCI-012, 015) when so many bytes more are too many for the quotas or
  /// the disk.
  Result<void> check_room(const std::string& repository, std::uint64_t more_bytes);
  /// Removes what nothing needs; needs the right to administer. Every step may be the last before a crash: what a
  /// manifest names is never gone.
  Result<wire::GarbageReport> collect_garbage(const Principal& caller, bool dry_run, bool untagged);
  /// Does so when it is time (RegistrySetup::collect_every_ms). To be called every second or so, by one thread; takes
  /// its time.
  void collect_when_due();
  /// Says how large blobs are that an older hub took.
  Result<void> measure_blobs();

 private:
  class Turn;
  using Place = std::pair<std::string, std::string>;  ///< Repository and digest.

  Result<Upload> standing(const std::string& repository, const std::string& id);
  Result<Upload> append_in_turn(const std::string& repository, Upload there, const Piece& piece, bool last);
  void note_use(const std::string& repository, const std::string& digest);
  [[nodiscard]] bool in_use_lately(const std::string& repository, const std::string& digest, std::int64_t since_ms);
  /// So many bytes more for the repository, of which the registry does not have `new_bytes` yet.
  Result<void> check_quotas(Transaction& store, const std::string& repository, std::uint64_t more_bytes,
                            std::uint64_t new_bytes);
  [[nodiscard]] std::uint64_t pending_bytes(Transaction& store, const std::string& repository);
  void forget_unneeded(Transaction& store, std::int64_t since_ms, bool untagged, wire::GarbageReport& report);
  Result<wire::GarbageReport> collect(const Principal& caller, bool dry_run, bool untagged);

  Core& core_;
  std::mutex collecting_;  ///< One collection at a time. Taken before everything else.
  std::int64_t next_collection_ms_ = 0;
  std::mutex mutex_;                            ///< Of what follows. Nothing else is taken while it is held.
  std::map<std::string, std::uint64_t> turns_;  ///< Uploads at work, with the bytes that are being appended.
  std::map<Place, std::int64_t> used_;          ///< When what was pushed or asked for was.
};

}  // namespace verge::hub
