// Backup: all that a hub keeps, in one encrypted file; made while the hub runs, and opened by a passphrase alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "verge/base/error.hpp"

namespace verge::hub {

struct BackupContent {
  std::uint64_t files = 0;
  std::uint64_t size_bytes = 0;  ///< Of what is in them.
};

/// Makes `file` from the hub's folder `data`: database, content, certificates, keys and signed metadata as they were
/// together at one moment. It is there, and durable, once this has succeeded, and not before.
///
/// Errors: not_found (VRG-HUB-086 `data` is no hub's folder), already_exists (VRG-HUB-087 `file` is there),
/// invalid_argument (VRG-HUB-088 the passphrase is too short), unavailable (VRG-HUB-089 another backup is being made,
/// or the hub does not stay the same for a moment); the disk's and the database's.
Result<BackupContent> make_backup(const std::filesystem::path& data, const std::filesystem::path& file,
                                  const std::string& passphrase);

/// Makes the folder `data`, which must be absent or empty, from a backup; durable, and there as a whole or not at all.
/// What devices have seen since the backup does not keep them from the restored hub: versions of its metadata and of
/// desired states, and numbers of deployments, go on from `now_s`, and each device's next report is taken. One-time
/// tokens of the backup are good no more. The fleet is frozen until somebody has looked: devices keep what they run.
///
/// Errors: already_exists (VRG-HUB-087 `data` holds something), permission_denied (VRG-HUB-090 another passphrase, or
/// the file was changed), data_loss (VRG-HUB-091 no backup; VRG-RST-001 changed, or not whole); the disk's and the
/// database's.
Result<BackupContent> restore_backup(const std::filesystem::path& file, const std::filesystem::path& data,
                                     const std::string& passphrase, std::int64_t now_s);

}  // namespace verge::hub
