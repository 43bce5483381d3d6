// Keys: signatures with Ed25519, ECDSA P-256 and RSA-PSS.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::crypto {

enum class KeyKind { ed25519, ecdsa_p256, rsa };

/// A public key. Immutable; cheap to copy.
class PublicKey {
 public:
  /// SubjectPublicKeyInfo as PEM. Errors: invalid_argument (VRG-CRY-001 not a public key; 002 of a kind that is not
  /// understood, or too weak: RSA below 2048 bits).
  static Result<PublicKey> from_pem(std::string_view pem);
  /// The 32 bytes of an Ed25519 key. Errors: VRG-CRY-001.
  static Result<PublicKey> from_ed25519(std::span<const std::byte> raw);

  [[nodiscard]] KeyKind kind() const noexcept;
  [[nodiscard]] std::string pem() const;
  /// The 32 bytes of an Ed25519 key; empty for other kinds.
  [[nodiscard]] std::vector<std::byte> ed25519() const;
  /// "sha256:…" of the SubjectPublicKeyInfo in DER.
  [[nodiscard]] std::string fingerprint() const;
  /// Whether `signature` is this key's for `message`: Ed25519 as is, ECDSA over SHA-256 in DER, RSA-PSS with SHA-256
  /// (salt of any length).
  [[nodiscard]] bool verify(std::span<const std::byte> message, std::span<const std::byte> signature) const;

 private:
  friend class PrivateKey;
  friend struct KeyAccess;  // certificate.cpp
  struct State;
  explicit PublicKey(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

/// A private key. Immutable; cheap to copy; its memory is cleared when the last copy goes.
class PrivateKey {
 public:
  /// A new key (RSA: 3072 bits).
  static PrivateKey generate(KeyKind kind);
  /// PKCS #8 as PEM, not encrypted. Errors: VRG-CRY-001, 002.
  static Result<PrivateKey> from_pem(std::string_view pem);
  /// PKCS #8 as PEM, encrypted, by this program or another. Errors: VRG-CRY-001, 002; unauthenticated (VRG-CRY-010
  /// another passphrase).
  static Result<PrivateKey> from_encrypted_pem(std::string_view pem, const std::string& passphrase);
  /// A key that stays where it is: in a token (`uri` as RFC 7512 writes it, "pkcs11:…"; its module-path, else the
  /// environment's PKCS11_MODULE_PATH, else p11-kit finds the module), or in a TPM 2.0 ("tpm2:" and a persistent handle
  /// such as 0x81000001, or a file made by 'openssl genpkey -provider tpm2'). `pin` may be empty where none is asked.
  /// Not for two threads at once. Errors: VRG-CRY-002; unavailable (VRG-CRY-011).
  static Result<PrivateKey> from_token(std::string_view uri, const std::string& pin);
  /// Whether from_token() takes it.
  [[nodiscard]] static bool is_token(std::string_view uri) noexcept;

  /// Not for a key in a token.
  [[nodiscard]] std::string pem() const;
  /// PKCS #8, encrypted with AES-256 under a key that scrypt makes of the passphrase. Not for a key in a token.
  [[nodiscard]] std::string encrypted_pem(const std::string& passphrase) const;
  [[nodiscard]] PublicKey public_key() const;
  /// As PublicKey::verify() takes it. Errors: unavailable (VRG-CRY-012), by a token only.
  [[nodiscard]] Result<std::vector<std::byte>> sign(std::span<const std::byte> message) const;

 private:
  friend struct KeyAccess;  // certificate.cpp
  struct State;
  explicit PrivateKey(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace verge::crypto
