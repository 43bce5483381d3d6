// The TPM part: keys sealed with tpm2-tss' ESAPI.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <tss2/tss2_tctildr.h>

#include "tss.hpp"

namespace verge::at_rest {
namespace {

constexpr TPMT_SYM_DEF kSessionCipher{TPM2_ALG_AES, {kAesBits}, {TPM2_ALG_CFB}};

class TssTpm final : public Tpm {
 public:
  TssTpm(TSS2_TCTI_CONTEXT* tcti, ESYS_CONTEXT* context) : tcti_(tcti), context_(context) {}
  ~TssTpm() override {
    Esys_Finalize(&context_);
    Tss2_TctiLdr_Finalize(&tcti_);
  }
  TssTpm(const TssTpm&) = delete;
  TssTpm& operator=(const TssTpm&) = delete;
  TssTpm(TssTpm&&) = delete;
  TssTpm& operator=(TssTpm&&) = delete;

  Result<Register> read(unsigned pcr) override { return read_register(context_, pcr); }
  Result<WrappedKey> make_attestation_key() override { return at_rest::make_attestation_key(context_); }
  Result<Quote> quote(const WrappedKey& key, const std::vector<unsigned>& pcrs,
                      std::span<const std::byte> nonce) override {
    return at_rest::quote(context_, key, pcrs, nonce);
  }
  Result<std::vector<std::byte>> endorsement_certificate() override {
    return at_rest::endorsement_certificate(context_);
  }
  Result<Endorsement> endorsement() override { return at_rest::endorsement(context_); }
  Result<std::vector<std::byte>> activate(const WrappedKey& key, const std::vector<std::byte>& endorsement,
                                          const Credential& credential) override {
    return at_rest::activate(context_, key, endorsement, credential);
  }

  Result<SealedKey> seal(const Secret& key, const std::vector<unsigned>& pcrs,
                         const std::map<unsigned, Register>& expected) override {
    Loaded parent(context_);
    VERGE_TRY(load_storage_key(context_, parent));
    VERGE_ASSIGN(const auto policy, policy_of(parent, pcrs, expected));
    Loaded session(context_);
    VERGE_TRY(start(session, parent, TPM2_SE_HMAC));  // What goes to the TPM is encrypted on its way.
    TPM2B_SENSITIVE_CREATE sensitive{};
    auto& data = sensitive.sensitive.data;
    data.size = Secret::kBytes;
    std::memcpy(data.buffer, key.bytes().data(), Secret::kBytes);
    TPM2B_PUBLIC area{};
    area.publicArea.type = TPM2_ALG_KEYEDHASH;
    area.publicArea.nameAlg = TPM2_ALG_SHA256;
    area.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA;
    area.publicArea.authPolicy = policy;
    area.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
    const TPM2B_DATA outside{};
    const TPML_PCR_SELECTION none{};
    TPM2B_PRIVATE* private_area = nullptr;
    TPM2B_PUBLIC* public_area = nullptr;
    const auto code = Esys_Create(context_, parent.handle, session.handle, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                                  &area, &outside, &none, &private_area, &public_area, nullptr, nullptr, nullptr);
    clear(&sensitive, sizeof(sensitive));
    if (code != TSS2_RC_SUCCESS) return refused("seal the key", code);
    const Given<TPM2B_PRIVATE> owned_private(private_area);
    const Given<TPM2B_PUBLIC> owned_public(public_area);
    VERGE_ASSIGN(auto areas, wrapped(*private_area, *public_area));
    SealedKey sealed;
    sealed.public_area = std::move(areas.public_area);
    sealed.private_area = std::move(areas.private_area);
    sealed.pcrs = pcrs;
    return sealed;
  }

  Result<Secret> unseal(const SealedKey& sealed) override {
    Loaded parent(context_);
    VERGE_TRY(load_storage_key(context_, parent));
    Loaded object(context_);
    VERGE_TRY(load(context_, parent, sealed, object));
    Loaded session(context_);
    VERGE_TRY(start(session, parent, TPM2_SE_POLICY));
    if (!sealed.pcrs.empty()) {
      const auto selection = selection_of(sealed.pcrs);
      const TPM2B_DIGEST present{};
      const auto code =
          Esys_PolicyPCR(context_, session.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &present, &selection);
      if (code != TSS2_RC_SUCCESS) return refused("take the registers into account", code);
    }
    TPM2B_SENSITIVE_DATA* data = nullptr;
    const auto code = Esys_Unseal(context_, object.handle, session.handle, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    if (is_layer_of_tpm(code) && base_of(code) == TPM2_RC_POLICY_FAIL) return changed_registers(sealed.pcrs);
    if (code != TSS2_RC_SUCCESS) return refused("open the key", code);
    const Given<TPM2B_SENSITIVE_DATA> owned(data);
    if (data->size != Secret::kBytes) return of_another_tpm();
    Secret key;
    std::memcpy(key.bytes().data(), data->buffer, Secret::kBytes);
    clear(data->buffer, data->size);
    return key;
  }

 private:
  static Error changed_registers(const std::vector<unsigned>& pcrs) {
    return Error(
        ErrorCode::failed_precondition, "VRG-RST-008",
        fmt::format("the TPM does not give the key: of the registers {} at least one is not as it was when it "
                    "was sealed, so that firmware, its settings or what was booted has changed. Bring it back, "
                    "or, where the change is yours, 'verge-agent keys reset': the hub sends the models again "
                    "(before the next change: 'verge-agent keys suspend')",
                    fmt::join(pcrs, ", ")));
  }

  /// Salted with the storage key; encrypts what is secret in both directions.
  Result<void> start(Loaded& session, const Loaded& parent, TPM2_SE kind) {
    auto code = Esys_StartAuthSession(context_, parent.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                      nullptr, kind, &kSessionCipher, TPM2_ALG_SHA256, &session.handle);
    if (code != TSS2_RC_SUCCESS) return refused("start a session", code);
    if (kind == TPM2_SE_TRIAL) return {};
    // A command has one or the other: create sends a secret, unseal gets one.
    const TPMA_SESSION ways = kind == TPM2_SE_HMAC ? TPMA_SESSION_DECRYPT : TPMA_SESSION_ENCRYPT;
    code = Esys_TRSess_SetAttributes(context_, session.handle, ways | TPMA_SESSION_CONTINUESESSION, 0xff);
    if (code != TSS2_RC_SUCCESS) return refused("set up a session", code);
    return {};
  }

  /// The digest that a session has once it has shown these registers.
  Result<TPM2B_DIGEST> policy_of(const Loaded& parent, const std::vector<unsigned>& pcrs,
                                 const std::map<unsigned, Register>& expected) {
    Loaded session(context_);
    VERGE_TRY(start(session, parent, TPM2_SE_TRIAL));
    if (!pcrs.empty()) {
      VERGE_ASSIGN(const auto digest, digest_of(pcrs, expected));
      const auto selection = selection_of(pcrs);
      const auto code =
          Esys_PolicyPCR(context_, session.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &selection);
      if (code != TSS2_RC_SUCCESS) return refused("take the registers into account", code);
    }
    TPM2B_DIGEST* policy = nullptr;
    const auto code = Esys_PolicyGetDigest(context_, session.handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &policy);
    if (code != TSS2_RC_SUCCESS) return refused("make a policy", code);
    const Given<TPM2B_DIGEST> owned(policy);
    return *policy;
  }

  /// SHA-256 of the registers, in the order of their numbers.
  Result<TPM2B_DIGEST> digest_of(std::vector<unsigned> pcrs, const std::map<unsigned, Register>& expected) {
    std::ranges::sort(pcrs);
    std::vector<std::byte> all;
    for (const auto pcr : pcrs) {
      const auto given = expected.find(pcr);
      Register value{};
      if (given != expected.end()) {
        value = given->second;
      } else {
        VERGE_ASSIGN(value, read(pcr));
      }
      all.insert(all.end(), value.begin(), value.end());
    }
    TPM2B_DIGEST digest{};
    unsigned size = 0;
    if (EVP_Digest(all.data(), all.size(), digest.buffer, &size, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
    digest.size = static_cast<UINT16>(size);
    return digest;
  }

  TSS2_TCTI_CONTEXT* tcti_;
  ESYS_CONTEXT* context_;
};

Result<std::unique_ptr<Tpm>> open(const std::string& tcti) {
  // Each error is told by what comes back; tpm2-tss would write lines of its own to standard error as well.
  (void)::setenv("TSS2_LOG", "all+NONE", 0);
  TSS2_TCTI_CONTEXT* way = nullptr;
  if (const auto code = Tss2_TctiLdr_Initialize(tcti.c_str(), &way); code != TSS2_RC_SUCCESS) {
    return refused(fmt::format("reach it by '{}'", tcti), code);
  }
  ESYS_CONTEXT* context = nullptr;
  if (const auto code = Esys_Initialize(&context, way, nullptr); code != TSS2_RC_SUCCESS) {
    Tss2_TctiLdr_Finalize(&way);
    return refused("speak to it", code);
  }
  return std::make_unique<TssTpm>(way, context);
}

constexpr TpmPart kPart{VERGE_VERSION, open};

}  // namespace
}  // namespace verge::at_rest

extern "C" __attribute__((visibility("default"))) const verge::at_rest::TpmPart* verge_tpm_part_entry() {
  return &verge::at_rest::kPart;
}
