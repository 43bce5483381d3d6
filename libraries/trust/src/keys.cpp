#include "keys.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "canonical_json.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::trust {
namespace {

using crypto::KeyKind;
using wire::Node;

struct Scheme {
  std::string_view type;
  std::string_view name;
  KeyKind kind;
};
constexpr std::array<Scheme, 4> kSchemes{{
    {"ed25519", "ed25519", KeyKind::ed25519},
    {"ecdsa", "ecdsa-sha2-nistp256", KeyKind::ecdsa_p256},
    {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", KeyKind::ecdsa_p256},
    {"rsa", "rsassa-pss-sha256", KeyKind::rsa},
}};

std::string_view text_of(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found != nullptr && found->kind == Node::Kind::quoted ? std::string_view(found->text) : std::string_view();
}

std::optional<crypto::PublicKey> read_key(const Node& node) {
  const Node* value = node.find("keyval");
  if (value == nullptr) return std::nullopt;
  const auto type = text_of(node, "keytype");
  const auto name = text_of(node, "scheme");
  const auto* scheme =
      std::ranges::find_if(kSchemes, [&](const Scheme& known) { return known.type == type && known.name == name; });
  if (scheme == kSchemes.end()) return std::nullopt;
  const auto text = text_of(*value, "public");
  auto key = scheme->kind == KeyKind::ed25519 ? crypto::PublicKey::from_ed25519(bytes_of_hex(text))
                                              : crypto::PublicKey::from_pem(text);
  if (!key || key->kind() != scheme->kind) return std::nullopt;
  return std::move(*key);
}

}  // namespace

KeySet read_keys(const Node& keys) {
  KeySet found;
  for (const auto& [id, node] : keys.members) {
    if (auto key = read_key(node)) found.emplace(id, std::move(*key));
  }
  return found;
}

std::string_view kind_name(KeyKind kind) {
  return std::ranges::find(kSchemes, kind, &Scheme::kind)->type;
}

Node key_node(const crypto::PublicKey& key) {
  const auto& scheme = *std::ranges::find(kSchemes, key.kind(), &Scheme::kind);
  Node value = Node::map();
  value.add("public", Node::string(key.kind() == KeyKind::ed25519 ? hex_of(key.ed25519()) : key.pem()));
  Node node = Node::map();
  node.add("keytype", Node::string(scheme.type));
  node.add("keyval", std::move(value));
  node.add("scheme", Node::string(scheme.name));
  return node;
}

std::string key_id(const crypto::PublicKey& key) {
  const auto text = canonical_json(key_node(key));
  assert(text);
  return crypto::sha256(*text).substr(std::string_view("sha256:").size());
}

std::int64_t count_signers(const Role& role, const KeySet& keys, const std::vector<Signature>& signatures,
                           std::string_view message) {
  // One key under two ids is still one signer.
  std::set<std::string> signers;
  for (const auto& signature : signatures) {
    if (std::ranges::find(role.key_ids, signature.key_id) == role.key_ids.end()) continue;
    const auto key = keys.find(signature.key_id);
    if (key == keys.end()) continue;
    const auto bytes = std::as_bytes(std::span(message.data(), message.size()));
    if (key->second.verify(bytes, signature.value)) signers.insert(key->second.fingerprint());
  }
  return static_cast<std::int64_t>(signers.size());
}

std::vector<std::byte> bytes_of_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return {};
  std::vector<std::byte> bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned value = 0;
    const char* end = hex.data() + i + 2;
    if (std::from_chars(hex.data() + i, end, value, 16).ptr != end) return {};
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

std::string hex_of(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const auto byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", static_cast<unsigned>(byte));
  return text;
}

}  // namespace verge::trust
