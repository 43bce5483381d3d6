#include "repository_files.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "canonical_json.hpp"
#include "role_layout.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::trust {
namespace {

using wire::Node;

constexpr std::string_view kSpecVersion = "1.0.31";
constexpr std::uint64_t kKeyLimitBytes = 16U << 10U;

std::filesystem::path key_path(const std::filesystem::path& folder, std::string_view role, bool next) {
  return folder / "keys" / fmt::format("{}{}.pem", role, next ? ".next" : "");
}

std::filesystem::path retired_path(const std::filesystem::path& folder, std::string_view role) {
  return folder / "keys" / fmt::format("{}.elsewhere", role);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Error io_error(const std::filesystem::path& path, const std::error_code& failed) {
  return Error(ErrorCode::unavailable, "VRG-BAS-001",
               fmt::format("cannot write '{}': {}", path.string(), failed.message()));
}

/// The fields of "signed" that every role has.
Node begin_metadata(std::string_view type, const Header& header) {
  Node node = Node::map();
  node.add("_type", Node::string(type));
  node.add("spec_version", Node::string(kSpecVersion));
  node.add("version", Node::integer(header.version));
  node.add("expires", Node::string(time_text(header.expires_s)));
  return node;
}

Node keys_node(const KeySet& keys) {
  return Node::map_of(keys, key_node);
}

void add_role(Node& node, const Role& role) {
  node.add("keyids", Node::list_of(role.key_ids, [](const auto& id) { return Node::string(id); }));
  node.add("threshold", Node::integer(role.threshold));
}

Node texts_node(const std::vector<std::string>& texts) {
  return Node::list_of(texts, [](const auto& text) { return Node::string(text); });
}

Node delegations_node(const Delegations& delegations) {
  Node roles = Node::list_of(delegations.roles, [](const Delegation& one) {
    Node role = Node::map();
    role.add("name", Node::string(one.name));
    add_role(role, one.role);
    role.add("terminating", Node::boolean(one.terminating));
    if (one.paths) {
      role.add("paths", texts_node(*one.paths));
    } else {
      role.add("path_hash_prefixes", texts_node(one.path_hash_prefixes));
    }
    return role;
  });
  Node node = Node::map();
  node.add("keys", keys_node(delegations.keys));
  node.add("roles", std::move(roles));
  return node;
}

Node meta_node(const FileMeta& meta) {
  Node node = Node::map();
  node.add("version", Node::integer(meta.version));
  if (meta.length_bytes) node.add("length", Node::integer(static_cast<std::int64_t>(*meta.length_bytes)));
  if (!meta.hashes.empty()) {
    node.add("hashes", Node::map_of(meta.hashes, [](const auto& digest) { return Node::string(digest); }));
  }
  return node;
}

Result<Node> target_node(const Target& target) {
  const auto colon = target.digest.find(':');
  const auto algorithm = std::string_view(target.digest).substr(0, colon);
  if (colon == std::string::npos || (algorithm != "sha256" && algorithm != "sha512")) {
    return Error(
        ErrorCode::invalid_argument, "VRG-TUF-002",
        fmt::format("expected a digest such as 'sha256:…' for target '{}', got '{}'", target.path, target.digest));
  }
  if (const auto custom = canonical_json(target.custom); !custom) {
    return Error(ErrorCode::invalid_argument, "VRG-TUF-002",
                 fmt::format("custom field of target '{}': {}", target.path, custom.error().message()));
  }
  Node hashes = Node::map();
  hashes.add(algorithm, Node::string(std::string_view(target.digest).substr(colon + 1)));
  Node entry = Node::map();
  entry.add("length", Node::integer(static_cast<std::int64_t>(target.length_bytes)));
  entry.add("hashes", std::move(hashes));
  if (target.custom.kind != Node::Kind::null) entry.add("custom", target.custom);
  return entry;
}

}  // namespace

Header make_header(std::string_view role, std::int64_t version, std::int64_t expires_s) {
  return {std::string(role), version, expires_s, time_text(expires_s)};
}

Node root_metadata(const Root& root) {
  Node node = begin_metadata(kRoot, root.header);
  node.add("consistent_snapshot", Node::boolean(root.consistent_snapshot));
  node.add("keys", keys_node(root.keys));
  node.add("roles", Node::map_of(root.roles, [](const Role& role) {
             Node one = Node::map();
             add_role(one, role);
             return one;
           }));
  return node;
}

Result<Node> targets_metadata(const Targets& targets) {
  Node node = begin_metadata(kTargets, targets.header);
  Node list = Node::map();
  for (const auto& [path, target] : targets.targets) {
    VERGE_ASSIGN(Node entry, target_node(target));
    list.add(path, std::move(entry));
  }
  node.add("targets", std::move(list));
  if (targets.delegations) node.add("delegations", delegations_node(*targets.delegations));
  return node;
}

Node snapshot_metadata(const Snapshot& snapshot) {
  Node node = begin_metadata(kSnapshot, snapshot.header);
  node.add("meta", Node::map_of(snapshot.files, meta_node));
  return node;
}

Node timestamp_metadata(const Timestamp& timestamp) {
  Node files = Node::map();
  files.add("snapshot.json", meta_node(timestamp.snapshot));
  Node node = begin_metadata(kTimestamp, timestamp.header);
  node.add("meta", std::move(files));
  return node;
}

Root root_of(const RoleKeys& keys, std::int64_t version, std::int64_t expires_s) {
  Root root{make_header(kRoot, version, expires_s), {}, {}, true};
  for (const auto& [name, key] : keys) {
    const auto public_key = key.public_key();
    const std::string id = key_id(public_key);
    root.keys.emplace(id, public_key);  // One key may serve several roles.
    root.roles.insert_or_assign(name, Role{{id}, 1});
  }
  return root;
}

FileMeta meta_of(std::string_view role, std::int64_t version, std::string_view content) {
  if (is_bin(role)) return {version, std::nullopt, {}};
  FileMeta meta{version, content.size(), {}};
  meta.hashes.emplace("sha256", crypto::sha256(content).substr(std::string_view("sha256:").size()));
  return meta;
}

std::string file_with(Node content, const std::vector<Signature>& signatures) {
  Node file = Node::map();
  file.add("signatures", Node::list_of(signatures, [](const Signature& one) {
             Node signature = Node::map();
             signature.add("keyid", Node::string(one.key_id));
             signature.add("sig", Node::string(hex_of(one.value)));
             return signature;
           }));
  file.add("signed", std::move(content));
  return wire::write_json(file);
}

Result<std::string> signed_file(Node content, const std::vector<const crypto::PrivateKey*>& keys) {
  VERGE_ASSIGN(const std::string message, canonical_json(content));
  std::vector<Signature> signatures;
  for (const auto* key : keys) {
    VERGE_ASSIGN(auto value, key->sign(bytes_of(message)));
    signatures.push_back({key_id(key->public_key()), std::move(value)});
  }
  return file_with(std::move(content), signatures);
}

Result<std::string> countersigned(const SignedFile& file, const crypto::PrivateKey& key) {
  auto signatures = file.signatures;
  const auto id = key_id(key.public_key());
  std::erase_if(signatures, [&](const Signature& one) { return one.key_id == id; });
  VERGE_ASSIGN(auto value, key.sign(bytes_of(file.message)));
  signatures.push_back({id, std::move(value)});
  return file_with(file.content, signatures);
}

Result<crypto::PrivateKey> read_private_key(const std::filesystem::path& folder, std::string_view role, bool next) {
  const auto path = key_path(folder, role, next);
  VERGE_ASSIGN(const std::string pem, read_text(path, kKeyLimitBytes));
  auto key = crypto::PrivateKey::from_pem(pem);
  if (key && key->public_key().kind() == crypto::KeyKind::ed25519) return key;
  return Error(
      ErrorCode::data_loss, "VRG-TUF-010",
      fmt::format("expected an Ed25519 private key in '{}', got something else; bring back a copy", path.string()));
}

Result<void> write_private_key(const std::filesystem::path& folder, std::string_view role, bool next,
                               const crypto::PrivateKey& key) {
  using std::filesystem::perms;
  const auto path = key_path(folder, role, next);
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  // Closed to others before the file is there: its own mode comes a moment after its content.
  if (!failed) std::filesystem::permissions(path.parent_path(), perms::owner_all, failed);
  if (failed) return io_error(path, failed);
  VERGE_TRY(write_file(path, std::string_view(key.pem())));
  std::filesystem::permissions(path, perms::owner_read | perms::owner_write, failed);
  if (failed) return io_error(path, failed);
  return {};
}

Result<void> promote_private_key(const std::filesystem::path& folder, std::string_view role) {
  std::error_code failed;
  const auto path = key_path(folder, role, false);
  std::filesystem::rename(key_path(folder, role, true), path, failed);
  if (failed) return io_error(path, failed);
  return {};
}

Result<void> retire_private_key(const std::filesystem::path& folder, std::string_view role) {
  VERGE_TRY(write_file(retired_path(folder, role), std::string_view("The keys of this role are kept elsewhere.\n")));
  for (const bool next : {true, false}) {
    std::error_code failed;
    const auto path = key_path(folder, role, next);
    std::filesystem::remove(path, failed);
    if (failed) return io_error(path, failed);
  }
  return {};
}

bool is_retired(const std::filesystem::path& folder, std::string_view role) {
  std::error_code ignored;
  return std::filesystem::exists(retired_path(folder, role), ignored);
}

std::int64_t newest_version(const std::filesystem::path& folder, std::string_view role) {
  std::int64_t newest = 0;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const auto parsed = parse_file_name(entry.path().filename().string());
    if (parsed && parsed->first == role) newest = std::max(newest, parsed->second);
  }
  return newest;
}

std::optional<std::pair<std::string, std::int64_t>> parse_file_name(std::string_view name) {
  constexpr std::string_view kEnd = ".json";
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789-_";
  constexpr std::size_t kLongest = 128;
  const auto dot = name.find('.');
  if (!name.ends_with(kEnd) || name.size() > kLongest || dot >= name.size() - kEnd.size()) return std::nullopt;
  std::int64_t version = 0;
  const auto [at, failed] = std::from_chars(name.data(), name.data() + dot, version);
  const auto role = name.substr(dot + 1, name.size() - kEnd.size() - dot - 1);
  if (at != name.data() + dot || failed != std::errc() || version < 1 || name.front() == '0') return std::nullopt;
  if (role.empty() || role.find_first_not_of(kLetters) != std::string_view::npos) return std::nullopt;
  return std::pair(std::string(role), version);
}

std::string file_name(std::string_view role, std::int64_t version) {
  return fmt::format("{}.{}.json", version, role);
}

}  // namespace verge::trust
