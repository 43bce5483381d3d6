// Metadata: the files of a repository, read and checked one by one; how they fit together is the client's matter.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "keys.hpp"
#include "verge/base/error.hpp"
#include "verge/trust/client.hpp"
#include "verge/wire/document.hpp"

namespace verge::trust {

constexpr std::string_view kRoot = "root";
constexpr std::string_view kTimestamp = "timestamp";
constexpr std::string_view kSnapshot = "snapshot";
constexpr std::string_view kTargets = "targets";
bool is_top_level(std::string_view role);

/// What every role's metadata says.
struct Header {
  std::string role;
  std::int64_t version = 0;
  std::int64_t expires_s = 0;
  std::string expires;
};

/// A file whose signatures are not checked yet.
struct SignedFile {
  Header header;
  wire::Node content;   ///< "signed".
  std::string message;  ///< It in canonical form.
  std::vector<Signature> signatures;
};

/// What one file says of another.
struct FileMeta {
  std::int64_t version = 0;
  std::optional<std::uint64_t> length_bytes;
  std::map<std::string, std::string, std::less<>> hashes;  ///< Hexadecimal, by algorithm.
};

struct Root {
  Header header;
  KeySet keys;
  std::map<std::string, Role, std::less<>> roles;
  bool consistent_snapshot = false;
};
struct Timestamp {
  Header header;
  FileMeta snapshot;
};
struct Snapshot {
  Header header;
  std::map<std::string, FileMeta, std::less<>> files;  ///< By name with ".json".
};

/// To whom a targets role passes on paths.
struct Delegation {
  std::string name;
  Role role;
  bool terminating = false;
  std::optional<std::vector<std::string>> paths;
  std::vector<std::string> path_hash_prefixes;
};
struct HashBins {
  Role role;
  int bit_length = 1;
  std::string name_prefix;
};
struct Delegations {
  KeySet keys;
  std::vector<Delegation> roles;
  std::optional<HashBins> bins;
};
struct Targets {
  Header header;
  std::map<std::string, Target, std::less<>> targets;  ///< Digest empty: of no algorithm that is understood.
  std::optional<Delegations> delegations;
};

/// Parses `text`, which should be metadata of `type` for `role`. Errors: data_loss (VRG-TUF-002).
Result<SignedFile> open_signed(std::string_view text, std::string_view type, std::string_view role);
Result<Root> read_root(const SignedFile& file);
Result<Timestamp> read_timestamp(const SignedFile& file);
Result<Snapshot> read_snapshot(const SignedFile& file);
Result<Targets> read_targets(const SignedFile& file);

/// Errors: unauthenticated (VRG-TUF-001).
Result<void> check_signatures(const SignedFile& file, const Role& role, const KeySet& keys);
/// Errors: failed_precondition (VRG-TUF-005).
Result<void> check_expiry(const Header& header, std::int64_t now_s);
/// Length and digests. Errors: data_loss (VRG-TUF-003).
Result<void> check_content(const FileMeta& declared, std::string_view content, std::string_view name);
/// Whether `content` has the digest, and whether the algorithm is understood at all.
enum class DigestMatch { same, other, unknown };
DigestMatch match_digest(std::string_view algorithm, std::string_view hex, std::string_view content);

/// "2026-11-25T00:00:00Z", as metadata has times.
std::string time_text(std::int64_t time_s);

}  // namespace verge::trust
