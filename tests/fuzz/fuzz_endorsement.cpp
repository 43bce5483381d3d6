// Any bytes as an endorsement key, as its certificate, and as certificates of authorities: refused, or read as they
// stand; what is read can be told a secret, and is certified by nobody.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "tpm_key.hpp"
#include "verge/attestation/credential.hpp"
#include "verge/attestation/endorsement_authorities.hpp"

namespace {

/// An endorsement key of a TPM, to be certified.
std::span<const std::byte> endorsement_area() {
  static constexpr unsigned char kArea[] = {
      0x00, 0x7a, 0x00, 0x23, 0x00, 0x0b, 0x00, 0x03, 0x00, 0xb2, 0x00, 0x20, 0x83, 0x71, 0x97, 0x67, 0x44, 0x84,
      0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64,
      0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa, 0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x00, 0x03,
      0x00, 0x10, 0x00, 0x20, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4,
      0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
      0x00, 0x20, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
      0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
  return std::as_bytes(std::span(kArea));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size_bytes) {
  using namespace verge::attestation;
  static const auto attestation = AttestationKey::read(verge::fuzz::attestation_area());
  static const auto certified = EndorsementKey::read(endorsement_area());
  static const auto nobody = EndorsementAuthorities::read("");
  if (!attestation || !certified || !nobody) std::abort();
  const auto bytes = std::as_bytes(std::span(data, size_bytes));
  if (const auto key = EndorsementKey::read(bytes)) {
    static constexpr std::array<std::byte, kCredentialSecretBytes> kSecret{};
    const auto credential = make_credential(*key, *attestation, kSecret);
    if (!credential && credential.error().id() != "VRG-ATT-010") std::abort();
    if (credential && (credential->blob.size() > 128 || credential->seed.size() > 512)) std::abort();
  }
  if (nobody->check(*certified, bytes, 0)) std::abort();
  const auto read = EndorsementAuthorities::read({reinterpret_cast<const char*>(data), size_bytes});
  if (!read) return 0;
  for (const auto& authority : read->list()) {
    if (authority.name.size() > 512 || authority.fingerprint.size() != 71) std::abort();
  }
  (void)read->check(*certified, bytes, 0);
  return 0;
}
