// Attestation: what the TPM says of its registers, under a key that signs nothing else.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tss.hpp"

namespace verge::at_rest {
namespace {

/// The registers may change between reading and quoting, while a machine is still booting.
constexpr int kTries = 5;
constexpr UINT16 kCertificateLimitBytes = 4096;
constexpr UINT16 kPieceBytes = 512;

TPM2B_PUBLIC attestation_key() {
  TPM2B_PUBLIC key{};
  auto& area = key.publicArea;
  area.type = TPM2_ALG_ECC;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                          TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                          TPMA_OBJECT_SIGN_ENCRYPT;
  auto& detail = area.parameters.eccDetail;
  detail.symmetric.algorithm = TPM2_ALG_NULL;
  detail.scheme.scheme = TPM2_ALG_ECDSA;
  detail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  detail.curveID = TPM2_ECC_NIST_P256;
  detail.kdf.scheme = TPM2_ALG_NULL;
  return key;
}

Result<std::map<unsigned, Register>> read_registers(ESYS_CONTEXT* context, const std::vector<unsigned>& pcrs) {
  std::map<unsigned, Register> registers;
  for (const auto pcr : pcrs) {
    VERGE_ASSIGN(registers[pcr], read_register(context, pcr));
  }
  return registers;
}

Result<Quote> quote_once(ESYS_CONTEXT* context, const Loaded& key, const std::vector<unsigned>& pcrs,
                         std::span<const std::byte> nonce) {
  TPM2B_DATA outside{};
  outside.size = static_cast<UINT16>(nonce.size());
  std::ranges::copy(nonce, reinterpret_cast<std::byte*>(outside.buffer));
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;  // The key's own.
  const auto selection = selection_of(pcrs);
  TPM2B_ATTEST* message = nullptr;
  TPMT_SIGNATURE* signature = nullptr;
  const auto code = Esys_Quote(context, key.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &outside, &scheme,
                               &selection, &message, &signature);
  if (code != TSS2_RC_SUCCESS) return refused("quote its registers", code);
  const Given<TPM2B_ATTEST> owned_message(message);
  const Given<TPMT_SIGNATURE> owned_signature(signature);
  Quote quote;
  const auto* const begin = reinterpret_cast<const std::byte*>(message->attestationData);
  quote.message.assign(begin, begin + message->size);
  quote.signature.resize(sizeof(TPMT_SIGNATURE));
  std::size_t size = 0;
  if (Tss2_MU_TPMT_SIGNATURE_Marshal(signature, reinterpret_cast<BYTE*>(quote.signature.data()), quote.signature.size(),
                                     &size) != TSS2_RC_SUCCESS) {
    return Error(ErrorCode::internal, "VRG-RST-010", "what the TPM signed cannot be written down");
  }
  quote.signature.resize(size);
  return quote;
}

}  // namespace

Result<WrappedKey> make_attestation_key(ESYS_CONTEXT* context) {
  Loaded parent(context);
  VERGE_TRY(load_storage_key(context, parent));
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const auto area = attestation_key();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION none{};
  TPM2B_PRIVATE* private_area = nullptr;
  TPM2B_PUBLIC* public_area = nullptr;
  const auto code = Esys_Create(context, parent.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &area,
                                &outside, &none, &private_area, &public_area, nullptr, nullptr, nullptr);
  if (code != TSS2_RC_SUCCESS) return refused("make an attestation key", code);
  const Given<TPM2B_PRIVATE> owned_private(private_area);
  const Given<TPM2B_PUBLIC> owned_public(public_area);
  return wrapped(*private_area, *public_area);
}

Result<Quote> quote(ESYS_CONTEXT* context, const WrappedKey& key, const std::vector<unsigned>& pcrs,
                    std::span<const std::byte> nonce) {
  Loaded parent(context);
  VERGE_TRY(load_storage_key(context, parent));
  Loaded object(context);
  VERGE_TRY(load(context, parent, key, object));
  VERGE_ASSIGN(auto before, read_registers(context, pcrs));
  for (int i = 0; i < kTries; ++i) {
    VERGE_ASSIGN(auto made, quote_once(context, object, pcrs, nonce));
    VERGE_ASSIGN(made.registers, read_registers(context, pcrs));
    if (made.registers == before) return made;
    before = made.registers;
  }
  return Error(ErrorCode::aborted, "VRG-RST-019",
               fmt::format("the TPM's registers {} changed while they were quoted, {} times; leave out those that "
                           "change while the system runs",
                           fmt::join(pcrs, ", "), kTries));
}

Result<std::vector<std::byte>> read_certificate(ESYS_CONTEXT* context, TPM2_HANDLE handle) {
  std::vector<std::byte> certificate;
  ESYS_TR index = ESYS_TR_NONE;
  if (Esys_TR_FromTPMPublic(context, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index) != TSS2_RC_SUCCESS) {
    return certificate;
  }
  TPM2B_NV_PUBLIC* area = nullptr;
  auto code = Esys_NV_ReadPublic(context, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, nullptr);
  if (code != TSS2_RC_SUCCESS) return refused("say how large its maker's certificate is", code);
  const Given<TPM2B_NV_PUBLIC> owned_area(area);
  const auto size = std::min(area->nvPublic.dataSize, kCertificateLimitBytes);
  for (UINT16 at = 0; at < size;) {
    const auto piece = std::min<UINT16>(kPieceBytes, static_cast<UINT16>(size - at));
    TPM2B_MAX_NV_BUFFER* data = nullptr;
    code = Esys_NV_Read(context, index, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, piece, at, &data);
    if (code != TSS2_RC_SUCCESS) return refused("give its maker's certificate", code);
    const Given<TPM2B_MAX_NV_BUFFER> owned(data);
    const auto* const begin = reinterpret_cast<const std::byte*>(data->buffer);
    certificate.insert(certificate.end(), begin, begin + data->size);
    at = static_cast<UINT16>(at + piece);
  }
  return certificate;
}

Result<std::vector<std::byte>> endorsement_certificate(ESYS_CONTEXT* context) {
  for (const auto index : {kRsaCertificate, kP256Certificate, kP384Certificate}) {
    VERGE_ASSIGN(auto certificate, read_certificate(context, index));
    if (!certificate.empty()) return certificate;
  }
  return std::vector<std::byte>{};
}

}  // namespace verge::at_rest
