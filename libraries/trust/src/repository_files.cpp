#include "repository_files.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>

#include <fmt/format.h>

#include "canonical_json.hpp"
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

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Error io_error(const std::filesystem::path& path, const std::error_code& failed) {
  return Error(ErrorCode::unavailable, "VRG-BAS-001",
               fmt::format("cannot write '{}': {}", path.string(), failed.message()));
}

}  // namespace

Node begin_metadata(std::string_view type, std::int64_t version, std::int64_t expires_s) {
  Node node = Node::map();
  node.add("_type", Node::string(type));
  node.add("spec_version", Node::string(kSpecVersion));
  node.add("version", Node::integer(version));
  node.add("expires", Node::string(time_text(expires_s)));
  return node;
}

Node root_metadata(const RoleKeys& keys, std::int64_t version, std::int64_t expires_s) {
  Node node = begin_metadata(kRoot, version, expires_s);
  Node declared = Node::map();
  Node roles = Node::map();
  for (const auto& [name, key] : keys) {
    const auto public_key = key.public_key();
    const std::string id = key_id(public_key);
    if (declared.find(id) == nullptr) declared.add(id, key_node(public_key));  // One key may serve several roles.
    Node ids = Node::list();
    ids.items.push_back(Node::string(id));
    Node role = Node::map();
    role.add("keyids", std::move(ids));
    role.add("threshold", Node::integer(1));
    roles.add(name, std::move(role));
  }
  node.add("consistent_snapshot", Node::boolean(true));
  node.add("keys", std::move(declared));
  node.add("roles", std::move(roles));
  return node;
}

Result<Node> targets_metadata(const std::vector<Target>& targets, std::int64_t version, std::int64_t expires_s) {
  Node node = begin_metadata(kTargets, version, expires_s);
  Node list = Node::map();
  for (const auto& target : targets) {
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
    list.add(target.path, std::move(entry));
  }
  node.add("targets", std::move(list));
  return node;
}

Node meta_metadata(std::string_view type, std::int64_t version, std::int64_t expires_s, std::string_view file,
                   std::int64_t file_version, std::string_view content) {
  Node hashes = Node::map();
  hashes.add("sha256", Node::string(crypto::sha256(content).substr(std::string_view("sha256:").size())));
  Node meta = Node::map();
  meta.add("version", Node::integer(file_version));
  meta.add("length", Node::integer(static_cast<std::int64_t>(content.size())));
  meta.add("hashes", std::move(hashes));
  Node files = Node::map();
  files.add(file, std::move(meta));
  Node node = begin_metadata(type, version, expires_s);
  node.add("meta", std::move(files));
  return node;
}

std::string signed_file(Node content, const std::vector<const crypto::PrivateKey*>& keys) {
  const auto message = canonical_json(content);
  assert(message);
  Node signatures = Node::list();
  for (const auto* key : keys) {
    Node signature = Node::map();
    signature.add("keyid", Node::string(key_id(key->public_key())));
    signature.add("sig", Node::string(hex_of(key->sign(bytes_of(*message)))));
    signatures.items.push_back(std::move(signature));
  }
  Node file = Node::map();
  file.add("signatures", std::move(signatures));
  file.add("signed", std::move(content));
  return wire::write_json(file);
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

std::int64_t newest_version(const std::filesystem::path& folder, std::string_view role) {
  const std::string end = fmt::format(".{}.json", role);
  std::int64_t newest = 0;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(end)) continue;
    std::int64_t version = 0;
    const char* digits_end = name.data() + name.size() - end.size();
    if (std::from_chars(name.data(), digits_end, version).ptr == digits_end) newest = std::max(newest, version);
  }
  return newest;
}

}  // namespace verge::trust
