// Repository files: the metadata of a repository as it is written, and its keys on disk.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "metadata.hpp"
#include "verge/base/error.hpp"
#include "verge/crypto/key.hpp"

namespace verge::trust {

/// By role.
using RoleKeys = std::map<std::string, crypto::PrivateKey, std::less<>>;

/// The fields of "signed" that every role has.
wire::Node begin_metadata(std::string_view type, std::int64_t version, std::int64_t expires_s);
wire::Node root_metadata(const RoleKeys& keys, std::int64_t version, std::int64_t expires_s);
/// Errors: invalid_argument (VRG-TUF-002) for a digest or a custom field that cannot be signed.
Result<wire::Node> targets_metadata(const std::vector<Target>& targets, std::int64_t version, std::int64_t expires_s);
/// Timestamp or snapshot: what is said of `file`, whose content is `content`.
wire::Node meta_metadata(std::string_view type, std::int64_t version, std::int64_t expires_s, std::string_view file,
                         std::int64_t file_version, std::string_view content);
/// The file: `content` and the signatures of `keys` over it.
std::string signed_file(wire::Node content, const std::vector<const crypto::PrivateKey*>& keys);

/// The key that is kept for `role`. While a rotation is under way there are two: the next one is `next`.
/// Errors: not_found; those of read_file().
Result<crypto::PrivateKey> read_private_key(const std::filesystem::path& folder, std::string_view role, bool next);
Result<void> write_private_key(const std::filesystem::path& folder, std::string_view role, bool next,
                               const crypto::PrivateKey& key);
/// The next key becomes the key. Errors: unavailable.
Result<void> promote_private_key(const std::filesystem::path& folder, std::string_view role);

/// The highest version of "N.<role>.json" in the folder; 0 without any.
std::int64_t newest_version(const std::filesystem::path& folder, std::string_view role);

}  // namespace verge::trust
