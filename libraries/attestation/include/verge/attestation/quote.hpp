// Quote: what a TPM says of its registers, checked against the key, the nonce and the registers that came with it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "verge/attestation/attestation_key.hpp"
#include "verge/base/error.hpp"

namespace verge::attestation {

inline constexpr std::size_t kQuoteLimitBytes = 1024;

/// What a register's SHA-256 bank holds, by its number.
using Registers = std::map<unsigned, std::array<std::byte, 32>>;

/// TPMS_ATTEST of a quote of registers of the SHA-256 bank.
struct QuoteContent {
  std::vector<std::byte> nonce;
  std::vector<unsigned> pcrs;              ///< In the order of their numbers.
  std::array<std::byte, 32> pcr_digest{};  ///< SHA-256 of them, one after the other.
  std::uint32_t resets = 0;                ///< How often the machine has been started.
};

/// Errors: invalid_argument (VRG-ATT-005 not a TPM's quote of that bank, or with anything behind it).
Result<QuoteContent> read_quote(std::span<const std::byte> message);

/// A quote as it came.
struct Evidence {
  std::vector<std::byte> message;
  std::vector<std::byte> signature;
  Registers registers;
};

/// Errors: those of AttestationKey::verify() and read_quote(); unauthenticated (VRG-ATT-006 another nonce),
/// data_loss (VRG-ATT-007 the registers are not those of the quote).
Result<QuoteContent> verify_quote(const AttestationKey& key, const Evidence& evidence,
                                  std::span<const std::byte> nonce);

}  // namespace verge::attestation
