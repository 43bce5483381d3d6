#include "tss.hpp"

#include <cstring>

#include <fmt/format.h>
#include <tss2/tss2_rc.h>

namespace verge::at_rest {
namespace {

constexpr unsigned kPcrCount = 24;

TPM2B_PUBLIC storage_key() {
  TPM2B_PUBLIC key{};
  auto& area = key.publicArea;
  area.type = TPM2_ALG_ECC;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                          TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  auto& detail = area.parameters.eccDetail;
  detail.symmetric.algorithm = TPM2_ALG_AES;
  detail.symmetric.keyBits.aes = kAesBits;
  detail.symmetric.mode.aes = TPM2_ALG_CFB;
  detail.scheme.scheme = TPM2_ALG_NULL;
  detail.curveID = TPM2_ECC_NIST_P256;
  detail.kdf.scheme = TPM2_ALG_NULL;
  return key;
}

BYTE* bytes_of(std::vector<std::byte>& bytes) {
  return reinterpret_cast<BYTE*>(bytes.data());
}
const BYTE* bytes_of(const std::vector<std::byte>& bytes) {
  return reinterpret_cast<const BYTE*>(bytes.data());
}

}  // namespace

Error of_another_tpm() {
  return Error(ErrorCode::failed_precondition, "VRG-RST-009",
               "the key was sealed by another TPM, or this TPM has been cleared since: what is stored cannot be "
               "opened. Where that is as it should be, 'verge-agent keys reset' throws it away, and the hub sends "
               "the models again");
}

TSS2_RC base_of(TSS2_RC code) {
  constexpr TSS2_RC kFormatOne = 0x80;
  constexpr TSS2_RC kNumberOfFormatOne = 0xBF;
  return (code & kFormatOne) != 0 ? code & kNumberOfFormatOne : code;
}
bool is_layer_of_tpm(TSS2_RC code) {
  return (code & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER;
}

Error refused(std::string_view what, TSS2_RC code) {
  if (!is_layer_of_tpm(code)) {
    return Error(ErrorCode::unavailable, "VRG-RST-007",
                 fmt::format("the TPM does not answer: cannot {}: {}; check that it is switched on in the firmware, "
                             "that 'tcti' names it, and that the agent may open it (group 'tss')",
                             what, Tss2_RC_Decode(code)));
  }
  return Error(ErrorCode::internal, "VRG-RST-010",
               fmt::format("the TPM refuses to {}: {} (0x{:x}); 'tpm2_getcap properties-variable' tells its state",
                           what, Tss2_RC_Decode(code), code));
}

TPML_PCR_SELECTION selection_of(std::span<const unsigned> pcrs) {
  TPML_PCR_SELECTION selection{};
  selection.count = 1;
  auto& bank = selection.pcrSelections[0];
  bank.hash = TPM2_ALG_SHA256;
  bank.sizeofSelect = kPcrCount / 8;
  for (const auto pcr : pcrs) {
    auto& bits = bank.pcrSelect[pcr / 8];
    bits = static_cast<BYTE>(bits | (1U << (pcr % 8)));
  }
  return selection;
}

Result<Register> read_register(ESYS_CONTEXT* context, unsigned pcr) {
  const auto selection = selection_of(std::span(&pcr, 1));
  UINT32 counter = 0;
  TPML_PCR_SELECTION* selected = nullptr;
  TPML_DIGEST* values = nullptr;
  const auto code =
      Esys_PCR_Read(context, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &selection, &counter, &selected, &values);
  if (code != TSS2_RC_SUCCESS) return refused("read a register", code);
  const Given<TPML_PCR_SELECTION> owned_selection(selected);
  const Given<TPML_DIGEST> owned_values(values);
  Register found{};
  if (values->count != 1 || values->digests[0].size != found.size()) {
    return Error(ErrorCode::unavailable, "VRG-RST-010",
                 fmt::format("the TPM has no register {} of SHA-256; switch its SHA-256 bank on in the firmware", pcr));
  }
  std::memcpy(found.data(), values->digests[0].buffer, found.size());
  return found;
}

Result<void> load_storage_key(ESYS_CONTEXT* context, Loaded& key) {
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const auto area = storage_key();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION none{};
  const auto code =
      Esys_CreatePrimary(context, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &area,
                         &outside, &none, &key.handle, nullptr, nullptr, nullptr, nullptr);
  if (code != TSS2_RC_SUCCESS) return refused("make its storage key", code);
  return {};
}

Result<WrappedKey> wrapped(const TPM2B_PRIVATE& private_area, const TPM2B_PUBLIC& public_area) {
  WrappedKey key;
  key.private_area.resize(sizeof(TPM2B_PRIVATE));
  key.public_area.resize(sizeof(TPM2B_PUBLIC));
  std::size_t private_size = 0;
  std::size_t public_size = 0;
  if (Tss2_MU_TPM2B_PRIVATE_Marshal(&private_area, bytes_of(key.private_area), key.private_area.size(),
                                    &private_size) != TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_PUBLIC_Marshal(&public_area, bytes_of(key.public_area), key.public_area.size(), &public_size) !=
          TSS2_RC_SUCCESS) {
    return Error(ErrorCode::internal, "VRG-RST-010", "a key that the TPM made cannot be written down");
  }
  key.private_area.resize(private_size);
  key.public_area.resize(public_size);
  return key;
}

Result<void> load(ESYS_CONTEXT* context, const Loaded& parent, const WrappedKey& wrapped, Loaded& object) {
  TPM2B_PRIVATE private_area{};
  TPM2B_PUBLIC public_area{};
  std::size_t private_at = 0;
  std::size_t public_at = 0;
  if (Tss2_MU_TPM2B_PRIVATE_Unmarshal(bytes_of(wrapped.private_area), wrapped.private_area.size(), &private_at,
                                      &private_area) != TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_PUBLIC_Unmarshal(bytes_of(wrapped.public_area), wrapped.public_area.size(), &public_at,
                                     &public_area) != TSS2_RC_SUCCESS) {
    return of_another_tpm();
  }
  const auto code = Esys_Load(context, parent.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private_area,
                              &public_area, &object.handle);
  if (code == TSS2_RC_SUCCESS) return {};
  return is_layer_of_tpm(code) ? of_another_tpm() : refused("load the key", code);
}

}  // namespace verge::at_rest
