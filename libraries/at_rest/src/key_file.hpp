// Key file: the master key in a file that only its owner may read.
#pragma once

#include <filesystem>

#include "verge/at_rest/secret.hpp"
#include "verge/base/error.hpp"

namespace verge::at_rest {

/// Errors: not_found, permission_denied (VRG-RST-012: absent, open to others, no key), the disk's.
Result<Secret> read_key_file(const std::filesystem::path& path);
/// The old content or the new one, whatever happens.
Result<void> write_key_file(const std::filesystem::path& path, const Secret& key);

}  // namespace verge::at_rest
