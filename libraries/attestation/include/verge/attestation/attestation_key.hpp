// Attestation key: the public part of a key with which a TPM signs what it says of itself.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/crypto/key.hpp"

namespace verge::attestation {

inline constexpr std::size_t kKeyLimitBytes = 512;
inline constexpr std::size_t kSignatureLimitBytes = 256;

/// Immutable; cheap to copy.
class AttestationKey {
 public:
  /// `public_area`: TPM2B_PUBLIC, as the TPM gave it. Errors: invalid_argument (VRG-ATT-001 not such an area, or with
  /// anything behind it; 002 not a restricted ECDSA key with P-256 and SHA-256 that its TPM made and keeps).
  static Result<AttestationKey> read(std::span<const std::byte> public_area);

  /// "sha256:…" of its SubjectPublicKeyInfo.
  [[nodiscard]] std::string fingerprint() const { return key_.fingerprint(); }
  /// By which a TPM knows it: the number of SHA-256, and the digest of the public area with all its attributes.
  [[nodiscard]] const std::vector<std::byte>& name() const noexcept { return name_; }
  /// `signature`: TPMT_SIGNATURE. Errors: invalid_argument (VRG-ATT-003 not such a signature), unauthenticated
  /// (VRG-ATT-004 it is not this key's for `message`).
  [[nodiscard]] Result<void> verify(std::span<const std::byte> message, std::span<const std::byte> signature) const;

 private:
  AttestationKey(crypto::PublicKey key, std::vector<std::byte> name) : key_(std::move(key)), name_(std::move(name)) {}
  crypto::PublicKey key_;
  std::vector<std::byte> name_;
};

}  // namespace verge::attestation
