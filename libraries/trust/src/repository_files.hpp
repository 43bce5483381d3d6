// Repository files: metadata as it is written, and the keys that a repository keeps on disk.
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

constexpr std::int64_t kDay_s = 86'400;

Header make_header(std::string_view role, std::int64_t version, std::int64_t expires_s);

// What is signed. Version and expiry are the header's. Making it and signing it are apart: those who sign may be
// elsewhere.
wire::Node root_metadata(const Root& root);
/// Errors: invalid_argument (VRG-TUF-002) for a digest or a custom field that cannot be signed.
Result<wire::Node> targets_metadata(const Targets& targets);
wire::Node snapshot_metadata(const Snapshot& snapshot);
wire::Node timestamp_metadata(const Timestamp& timestamp);

/// A root with one key for each role.
Root root_of(const RoleKeys& keys, std::int64_t version, std::int64_t expires_s);
/// What is said of a file with `content`. Of a bin only its version is: the snapshot stays small, and the bin's own
/// signature does the rest.
FileMeta meta_of(std::string_view role, std::int64_t version, std::string_view content);

/// The file: `content` and the signatures over it. Errors: VRG-TUF-002; those of PrivateKey::sign().
Result<std::string> signed_file(wire::Node content, const std::vector<const crypto::PrivateKey*>& keys);
std::string file_with(wire::Node content, const std::vector<Signature>& signatures);
/// `file` with one more signature, in place of one by the same key.
Result<std::string> countersigned(const SignedFile& file, const crypto::PrivateKey& key);

/// The key that is kept for `role`. While a rotation is under way there are two: the next one is `next`.
/// Errors: not_found; those of read_file().
Result<crypto::PrivateKey> read_private_key(const std::filesystem::path& folder, std::string_view role, bool next);
Result<void> write_private_key(const std::filesystem::path& folder, std::string_view role, bool next,
                               const crypto::PrivateKey& key);
/// The next key becomes the key. Errors: unavailable.
Result<void> promote_private_key(const std::filesystem::path& folder, std::string_view role);
/// From here on the role's keys are elsewhere: the file goes, and its absence is no damage.
Result<void> retire_private_key(const std::filesystem::path& folder, std::string_view role);
bool is_retired(const std::filesystem::path& folder, std::string_view role);

/// The highest version of "N.<role>.json" in the folder; 0 without any.
std::int64_t newest_version(const std::filesystem::path& folder, std::string_view role);
/// Role and version of "N.<role>.json"; nothing for other names, and for roles that are none of ours: lower-case
/// letters, digits, '-' and '_'.
std::optional<std::pair<std::string, std::int64_t>> parse_file_name(std::string_view name);
std::string file_name(std::string_view role, std::int64_t version);

}  // namespace verge::trust
