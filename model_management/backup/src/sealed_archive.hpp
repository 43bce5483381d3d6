// Sealed archive: a folder as one file that a passphrase opens.
//
//   prefix   "VRGBKUP1", a random salt (32 bytes), zeros (24)
//   content  an encrypted file (verge/at_rest/encrypted_file.hpp) under the key of passphrase and salt: a tar archive
//
// Nothing of the archive is looked at that is not authentic: a chunk is checked before the archive's reader sees it.
#pragma once

#include "verge/hub/backup.hpp"

namespace verge::hub {

/// All plain files below `folder`, by name. `file` must not be there; durable when this returns.
Result<BackupContent> seal_folder(const std::filesystem::path& folder, const std::filesystem::path& file,
                                  std::string_view passphrase);
/// Into `folder`, which must not be there; durable when this returns. What it has made stays when it fails.
Result<BackupContent> unseal_folder(const std::filesystem::path& file, const std::filesystem::path& folder,
                                    std::string_view passphrase);

}  // namespace verge::hub
