// Any bytes as what a TPM says: a quote, a signature, a key; refused, or read as it stands.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "tpm_key.hpp"
#include "verge/attestation/quote.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  using namespace verge::attestation;
  static const auto key = AttestationKey::read(verge::fuzz::attestation_area());
  if (!key) std::abort();
  const auto bytes = std::as_bytes(std::span(data, size_bytes));
  if (const auto quote = read_quote(bytes)) {
    if (bytes.size() > kQuoteLimitBytes || quote->nonce.size() > bytes.size() || quote->pcrs.size() > 32) std::abort();
  }
  if (key->verify(bytes.first(size_bytes / 2), bytes.subspan(size_bytes / 2))) std::abort();  // A forgery.
  (void)AttestationKey::read(bytes);
  return 0;
}
