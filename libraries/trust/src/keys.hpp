// Keys of metadata: as their delegators declare them, and who must sign what.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/crypto/key.hpp"
#include "verge/wire/document.hpp"

namespace verge::trust {

/// By key id.
using KeySet = std::map<std::string, crypto::PublicKey, std::less<>>;

/// Who must sign.
struct Role {
  std::vector<std::string> key_ids;
  std::int64_t threshold = 1;
};

struct Signature {
  std::string key_id;
  std::vector<std::byte> value;
};

/// The keys of a "keys" object that are understood; others are left out, as if they had never signed.
KeySet read_keys(const wire::Node& keys);
/// A key as metadata has it, and its id.
wire::Node key_node(const crypto::PublicKey& key);
std::string key_id(const crypto::PublicKey& key);

/// How many different keys of `role` signed `message`.
std::int64_t count_signers(const Role& role, const KeySet& keys, const std::vector<Signature>& signatures,
                           std::string_view message);

/// "ed25519", "ecdsa" or "rsa".
std::string_view kind_name(crypto::KeyKind kind);

/// Empty for what are no hexadecimal digits.
std::vector<std::byte> bytes_of_hex(std::string_view hex);
std::string hex_of(std::span<const std::byte> bytes);

}  // namespace verge::trust
