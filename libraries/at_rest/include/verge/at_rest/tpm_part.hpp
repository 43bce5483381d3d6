// The TPM part: seals keys with a TPM 2.0, and has it say what was booted. Loaded when it is first needed; who has no
// TPM maps nothing of it.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/at_rest/secret.hpp"
#include "verge/base/error.hpp"

namespace verge::at_rest {

/// A register of the TPM: what its SHA-256 bank holds.
using Register = std::array<std::byte, 32>;

/// A key that only the TPM that made it can use.
struct WrappedKey {
  std::vector<std::byte> public_area;   ///< TPM2B_PUBLIC
  std::vector<std::byte> private_area;  ///< TPM2B_PRIVATE
};
/// What a TPM says of its registers.
struct Quote {
  std::vector<std::byte> message;    ///< TPMS_ATTEST
  std::vector<std::byte> signature;  ///< TPMT_SIGNATURE
  std::map<unsigned, Register> registers;
};

/// The key with which a TPM can be told a secret, and what its maker says of it.
struct Endorsement {
  std::vector<std::byte> public_area;  ///< TPM2B_PUBLIC
  std::vector<std::byte> certificate;  ///< X.509, DER; empty: there is none.
};
/// A secret for the TPM that has both that key and another one.
struct Credential {
  std::vector<std::byte> blob;  ///< TPM2B_ID_OBJECT
  std::vector<std::byte> seed;  ///< TPM2B_ENCRYPTED_SECRET
};

/// A secret that only the TPM that sealed it opens.
struct SealedKey : WrappedKey {
  std::vector<unsigned> pcrs;  ///< Numbers of the registers that must be as they were.
};

/// Used by one thread at a time. Leaves nothing behind in the TPM.
///
/// Errors: unavailable (VRG-RST-007 it does not answer), internal (VRG-RST-010 any other, in the TPM's words).
class Tpm {
 public:
  virtual ~Tpm() = default;
  /// To the present content of these registers; where `expected` has one, to that.
  virtual Result<SealedKey> seal(const Secret& key, const std::vector<unsigned>& pcrs,
                                 const std::map<unsigned, Register>& expected) = 0;
  /// Errors beside the above: failed_precondition (VRG-RST-008 a register has changed; 009 another TPM sealed it, or
  /// this one was cleared since).
  virtual Result<Secret> unseal(const SealedKey& sealed) = 0;
  virtual Result<Register> read(unsigned pcr) = 0;
  /// A restricted key (ECDSA P-256) that signs nothing but what the TPM itself says.
  virtual Result<WrappedKey> make_attestation_key() = 0;
  /// Of these registers (SHA-256), with a nonce of at most 32 bytes in it. Errors beside the above: VRG-RST-009;
  /// aborted (VRG-RST-019 the registers kept changing).
  virtual Result<Quote> quote(const WrappedKey& key, const std::vector<unsigned>& pcrs,
                              std::span<const std::byte> nonce) = 0;
  /// What the TPM's maker says of it (X.509, DER); empty: it says nothing.
  virtual Result<std::vector<std::byte>> endorsement_certificate() = 0;
  /// RSA 2048, or P-256 where only that has a certificate, or none has. Some TPMs take seconds.
  virtual Result<Endorsement> endorsement() = 0;
  /// Gives the secret of a credential that was made for `endorsement` and `key`. Errors beside the above: VRG-RST-009;
  /// invalid_argument (VRG-RST-021 it was made for others, or is none).
  virtual Result<std::vector<std::byte>> activate(const WrappedKey& key, const std::vector<std::byte>& endorsement,
                                                  const Credential& credential) = 0;
};

struct TpmPart {
  const char* version;  ///< Of the program that it was built with.
  /// `tcti`: "device:/dev/tpmrm0", "swtpm:path=…". Errors: unavailable (VRG-RST-007).
  Result<std::unique_ptr<Tpm>> (*open)(const std::string& tcti);
};
/// Under the name "verge_tpm_part_entry".
using TpmPartEntry = const TpmPart* (*)();

/// Stays loaded. Errors: unavailable (VRG-RST-006 it is not installed), failed_precondition (VRG-RST-006 it is another
/// version's), VRG-RST-007.
Result<std::unique_ptr<Tpm>> open_tpm(const std::string& tcti);

}  // namespace verge::at_rest
