#include "verge/attestation/quote.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tpm_bytes.hpp"

namespace verge::attestation {
namespace {

constexpr std::uint32_t kMadeByATpm = 0xFF544347;
constexpr std::uint16_t kAttestQuote = 0x8018;
constexpr std::size_t kNameLimitBytes = 68;
constexpr std::size_t kNonceLimitBytes = 64;
constexpr std::size_t kSelectLimitBytes = 4;

Error not_a_quote(std::string_view why) {
  return Error(ErrorCode::invalid_argument, "VRG-ATT-005",
               fmt::format("expected a TPM's quote of registers of its SHA-256 bank, got {}", why));
}

Digest pcr_digest_of(const Registers& registers) {
  std::vector<std::byte> all;
  for (const auto& [pcr, value] : registers) all.insert(all.end(), value.begin(), value.end());
  return digest_of(all);
}

std::vector<unsigned> numbers_of(std::span<const std::byte> select) {
  std::vector<unsigned> pcrs;
  for (unsigned pcr = 0; pcr < select.size() * 8; ++pcr) {
    if ((std::to_integer<unsigned>(select[pcr / 8]) >> (pcr % 8) & 1U) != 0) pcrs.push_back(pcr);
  }
  return pcrs;
}

}  // namespace

Result<QuoteContent> read_quote(std::span<const std::byte> message) {
  if (message.size() > kQuoteLimitBytes) return not_a_quote(fmt::format("{} bytes", message.size()));
  TpmBytes bytes(message);
  const auto magic = bytes.u32();
  const auto type = bytes.u16();
  if (!bytes.ok() || magic != kMadeByATpm) return not_a_quote("what no TPM made");
  if (type != kAttestQuote) return not_a_quote(fmt::format("an attestation of type 0x{:04x}", type));
  QuoteContent content;
  bytes.sized(kNameLimitBytes);  // The signer's name: the signature says the same, and cannot be wrong.
  const auto nonce = bytes.sized(kNonceLimitBytes);
  content.nonce.assign(nonce.begin(), nonce.end());
  bytes.number(8);  // The TPM's clock.
  content.resets = bytes.u32();
  bytes.u32();      // How often it was restarted without a reset.
  bytes.u8();       // Whether its clock is sure.
  bytes.number(8);  // The version of its firmware.
  const auto banks = bytes.u32();
  const auto bank = bytes.u16();
  const std::size_t select_bytes = bytes.u8();
  if (!bytes.ok() || banks != 1 || bank != kSha256 || select_bytes > kSelectLimitBytes) {
    return not_a_quote(fmt::format("{} banks, the first of the algorithm 0x{:04x}", banks, bank));
  }
  content.pcrs = numbers_of(bytes.take(select_bytes));
  const auto digest = bytes.sized(kDigestBytes);
  if (!bytes.is_done() || digest.size() != kDigestBytes) return not_a_quote("a structure that does not end as one");
  std::ranges::copy(digest, content.pcr_digest.begin());
  return content;
}

Result<QuoteContent> verify_quote(const AttestationKey& key, const Evidence& evidence,
                                  std::span<const std::byte> nonce) {
  VERGE_TRY(key.verify(evidence.message, evidence.signature));
  VERGE_ASSIGN(auto content, read_quote(evidence.message));
  if (!std::ranges::equal(content.nonce, nonce)) {
    return Error(ErrorCode::unauthenticated, "VRG-ATT-006",
                 "the quote does not carry the nonce that it was asked with: it is an old one, played again, or was "
                 "made for another; a new one is needed");
  }
  std::vector<unsigned> reported;
  for (const auto& [pcr, value] : evidence.registers) reported.push_back(pcr);
  if (content.pcrs != reported || content.pcr_digest != pcr_digest_of(evidence.registers)) {
    return Error(ErrorCode::data_loss, "VRG-ATT-007",
                 fmt::format("the values reported of the registers {} are not those that the TPM quoted (of the "
                             "registers {}): they were changed on their way",
                             fmt::join(reported, ", "), fmt::join(content.pcrs, ", ")));
  }
  return content;
}

}  // namespace verge::attestation
