// Credential: a secret that only a TPM that has both an endorsement key and an attestation key gives back (TPM 2.0
// Library, Part 1, Credential Protection). tpm2-tss has it only as a command to a TPM, which a hub need not have.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "verge/attestation/attestation_key.hpp"
#include "verge/attestation/endorsement_key.hpp"
#include "verge/base/error.hpp"

namespace verge::attestation {

inline constexpr std::size_t kCredentialSecretBytes = 32;

/// As TPM2_MakeCredential gives it, and TPM2_ActivateCredential takes it.
struct Credential {
  std::vector<std::byte> blob;  ///< TPM2B_ID_OBJECT: the secret, encrypted, bound to the attestation key's name.
  std::vector<std::byte> seed;  ///< TPM2B_ENCRYPTED_SECRET: what it is encrypted with, for the endorsement key.
};

/// Never the same twice. `secret`: kCredentialSecretBytes. Errors: invalid_argument (VRG-ATT-010 nothing can be
/// encrypted to that endorsement key).
Result<Credential> make_credential(const EndorsementKey& endorsement, const AttestationKey& key,
                                   std::span<const std::byte> secret);

}  // namespace verge::attestation
