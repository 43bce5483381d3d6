// Endorsement key: the key that comes with a TPM, and that signs nothing. Only its TPM opens what is encrypted to it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::attestation {

inline constexpr std::size_t kEndorsementKeyLimitBytes = 1024;

/// Immutable; cheap to copy.
class EndorsementKey {
 public:
  /// `public_area`: TPM2B_PUBLIC, as the TPM gave it. Errors: invalid_argument (VRG-ATT-008 not such an area, or with
  /// anything behind it; 009 not made by one of the two templates that every TPM knows, RSA 2048 or P-256: L-1 and L-2
  /// of the TCG EK Credential Profile).
  static Result<EndorsementKey> read(std::span<const std::byte> public_area);

  /// "sha256:…" of its SubjectPublicKeyInfo.
  [[nodiscard]] std::string fingerprint() const;

 private:
  friend struct EndorsementAccess;
  struct State;
  explicit EndorsementKey(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace verge::attestation
