// Endorsement: what only this TPM can be told, which shows that a key lies in it (TPM2_ActivateCredential).
#include <cstring>

#include <fmt/format.h>

#include "tss.hpp"

namespace verge::at_rest {
namespace {

/// PolicySecret(TPM_RH_ENDORSEMENT): whoever may use that hierarchy may use the key.
constexpr TPM2B_DIGEST kPolicy{
    32, {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
         0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA}};
constexpr UINT16 kModulusBits = 2048;
constexpr UINT16 kNumberBytes = 32;
constexpr TPMT_SYM_DEF kNoCipher{TPM2_ALG_NULL, {}, {}};

/// Templates L-1 and L-2 of the TCG EK Credential Profile: from them each TPM makes, from its seed, the key that its
/// maker has certified.
TPM2B_PUBLIC template_of(TPM2_ALG_ID type) {
  TPM2B_PUBLIC key{};
  auto& area = key.publicArea;
  area.type = type;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                          TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  area.authPolicy = kPolicy;
  TPMT_SYM_DEF_OBJECT cipher{};
  cipher.algorithm = TPM2_ALG_AES;
  cipher.keyBits.aes = kAesBits;
  cipher.mode.aes = TPM2_ALG_CFB;
  if (type == TPM2_ALG_RSA) {
    auto& detail = area.parameters.rsaDetail;
    detail.symmetric = cipher;
    detail.scheme.scheme = TPM2_ALG_NULL;
    detail.keyBits = kModulusBits;
    area.unique.rsa.size = kModulusBits / 8;
  } else {
    auto& detail = area.parameters.eccDetail;
    detail.symmetric = cipher;
    detail.scheme.scheme = TPM2_ALG_NULL;
    detail.curveID = TPM2_ECC_NIST_P256;
    detail.kdf.scheme = TPM2_ALG_NULL;
    area.unique.ecc.x.size = kNumberBytes;
    area.unique.ecc.y.size = kNumberBytes;
  }
  return key;
}

Result<std::vector<std::byte>> make(ESYS_CONTEXT* context, TPM2_ALG_ID type, Loaded& key) {
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const auto area = template_of(type);
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION none{};
  TPM2B_PUBLIC* made = nullptr;
  const auto code =
      Esys_CreatePrimary(context, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                         &area, &outside, &none, &key.handle, &made, nullptr, nullptr, nullptr);
  if (code != TSS2_RC_SUCCESS) return refused("make its endorsement key", code);
  const Given<TPM2B_PUBLIC> owned(made);
  VERGE_ASSIGN(auto areas, wrapped(TPM2B_PRIVATE{}, *made));
  return std::move(areas.public_area);
}

Result<void> open_with_policy(ESYS_CONTEXT* context, Loaded& session) {
  auto code = Esys_StartAuthSession(context, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    nullptr, TPM2_SE_POLICY, &kNoCipher, TPM2_ALG_SHA256, &session.handle);
  if (code != TSS2_RC_SUCCESS) return refused("start a session", code);
  code = Esys_PolicySecret(context, ESYS_TR_RH_ENDORSEMENT, session.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                           ESYS_TR_NONE, nullptr, nullptr, nullptr, 0, nullptr, nullptr);
  if (code != TSS2_RC_SUCCESS) return refused("let its endorsement key be used", code);
  return {};
}

const BYTE* bytes_of(const std::vector<std::byte>& bytes) {
  return reinterpret_cast<const BYTE*>(bytes.data());
}

Error not_for_us() {
  return Error(ErrorCode::invalid_argument, "VRG-RST-021",
               "expected a credential for this TPM's endorsement key and the attestation key of the join, got one that "
               "the TPM does not open; where the TPM was exchanged or cleared, let the device join anew");
}

}  // namespace

Result<Endorsement> endorsement(ESYS_CONTEXT* context) {
  Endorsement made;
  VERGE_ASSIGN(const auto rsa, read_certificate(context, kRsaCertificate));
  VERGE_ASSIGN(made.certificate, endorsement_certificate(context));
  Loaded key(context);
  VERGE_ASSIGN(made.public_area, make(context, rsa.empty() ? TPM2_ALG_ECC : TPM2_ALG_RSA, key));
  return made;
}

Result<std::vector<std::byte>> activate(ESYS_CONTEXT* context, const WrappedKey& key,
                                        const std::vector<std::byte>& endorsement, const Credential& credential) {
  TPM2B_ID_OBJECT blob{};
  TPM2B_ENCRYPTED_SECRET seed{};
  TPM2B_PUBLIC area{};
  std::size_t blob_at = 0;
  std::size_t seed_at = 0;
  std::size_t area_at = 0;
  if (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(bytes_of(credential.blob), credential.blob.size(), &blob_at, &blob) !=
          TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(bytes_of(credential.seed), credential.seed.size(), &seed_at, &seed) !=
          TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_PUBLIC_Unmarshal(bytes_of(endorsement), endorsement.size(), &area_at, &area) != TSS2_RC_SUCCESS) {
    return not_for_us();
  }
  Loaded endorser(context);
  VERGE_ASSIGN(const auto present, make(context, area.publicArea.type, endorser));
  if (present != endorsement) return not_for_us();
  Loaded object(context);
  {
    Loaded parent(context);  // A TPM has room for three; one is left for others.
    VERGE_TRY(load_storage_key(context, parent));
    VERGE_TRY(load(context, parent, key, object));
  }
  Loaded session(context);
  VERGE_TRY(open_with_policy(context, session));
  TPM2B_DIGEST* secret = nullptr;
  const auto code = Esys_ActivateCredential(context, object.handle, endorser.handle, ESYS_TR_PASSWORD, session.handle,
                                            ESYS_TR_NONE, &blob, &seed, &secret);
  const auto base = base_of(code);
  if (is_layer_of_tpm(code) && (base == TPM2_RC_INTEGRITY || base == TPM2_RC_VALUE || base == TPM2_RC_SIZE)) {
    return not_for_us();
  }
  if (code != TSS2_RC_SUCCESS) return refused("open a credential", code);
  const Given<TPM2B_DIGEST> owned(secret);
  const auto* const begin = reinterpret_cast<const std::byte*>(secret->buffer);
  return std::vector<std::byte>(begin, begin + secret->size);
}

}  // namespace verge::at_rest
