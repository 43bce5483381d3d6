// What the sources of the TPM part share: tpm2-tss' ESAPI with owners and errors.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>

#include "verge/at_rest/tpm_part.hpp"

namespace verge::at_rest {

inline constexpr std::uint16_t kAesBits = 128;
/// Where makers put the certificates of endorsement keys (TCG EK Credential Profile).
inline constexpr TPM2_HANDLE kRsaCertificate = 0x01C00002;
inline constexpr TPM2_HANDLE kP256Certificate = 0x01C0000A;
inline constexpr TPM2_HANDLE kP384Certificate = 0x01C00016;

/// What the TPM gives, freed.
struct Free {
  void operator()(void* memory) const { Esys_Free(memory); }
};
template <typename T>
using Given = std::unique_ptr<T, Free>;

/// The error's number, without the parameter, handle or session that it is about.
TSS2_RC base_of(TSS2_RC code);
bool is_layer_of_tpm(TSS2_RC code);
/// VRG-RST-007 or 010, by the code.
Error refused(std::string_view what, TSS2_RC code);
/// VRG-RST-009.
Error of_another_tpm();
TPML_PCR_SELECTION selection_of(std::span<const unsigned> pcrs);

/// An object or session in the TPM, which has room for few.
class Loaded {
 public:
  explicit Loaded(ESYS_CONTEXT* context) : context_(context) {}
  ~Loaded() {
    if (handle != ESYS_TR_NONE) (void)Esys_FlushContext(context_, handle);
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  Loaded(Loaded&&) = delete;
  Loaded& operator=(Loaded&&) = delete;

  ESYS_TR handle = ESYS_TR_NONE;

 private:
  ESYS_CONTEXT* context_;
};

/// The storage key that sealed keys lie under: made of the TPM's own seed, the same each time.
Result<void> load_storage_key(ESYS_CONTEXT* context, Loaded& key);
/// Both areas of a key, as bytes and back. Errors: VRG-RST-010; failed_precondition (VRG-RST-009) back.
Result<WrappedKey> wrapped(const TPM2B_PRIVATE& private_area, const TPM2B_PUBLIC& public_area);
Result<void> load(ESYS_CONTEXT* context, const Loaded& parent, const WrappedKey& wrapped, Loaded& object);

/// As Tpm has them.
Result<WrappedKey> make_attestation_key(ESYS_CONTEXT* context);
Result<Quote> quote(ESYS_CONTEXT* context, const WrappedKey& key, const std::vector<unsigned>& pcrs,
                    std::span<const std::byte> nonce);
Result<Register> read_register(ESYS_CONTEXT* context, unsigned pcr);
Result<std::vector<std::byte>> endorsement_certificate(ESYS_CONTEXT* context);
/// What lies under an index of the TPM's memory; empty: nothing.
Result<std::vector<std::byte>> read_certificate(ESYS_CONTEXT* context, TPM2_HANDLE handle);
Result<Endorsement> endorsement(ESYS_CONTEXT* context);
Result<std::vector<std::byte>> activate(ESYS_CONTEXT* context, const WrappedKey& key,
                                        const std::vector<std::byte>& endorsement, const Credential& credential);

}  // namespace verge::at_rest
