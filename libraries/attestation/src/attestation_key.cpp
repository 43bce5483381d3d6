#include "verge/attestation/attestation_key.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <vector>

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "tpm_bytes.hpp"

namespace verge::attestation {
namespace {

constexpr std::uint32_t kNeeded = kFixedTpm | kFixedParent | kMadeInside | kRestricted | kSign;
constexpr std::size_t kNumberBytes = 32;

/// SubjectPublicKeyInfo of a key with P-256, up to the point.
constexpr std::array<unsigned char, 27> kP256Head{0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                                  0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                                  0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

struct Free {
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(unsigned char* bytes) const { OPENSSL_free(bytes); }
};

Error not_an_area() {
  return Error(ErrorCode::invalid_argument, "VRG-ATT-001",
               fmt::format("expected the public area of an attestation key (TPM2B_PUBLIC, at most {} bytes), got other "
                           "bytes; let the device join anew, so that its TPM makes one",
                           kKeyLimitBytes));
}

/// A number without the zeros that a TPM may leave out in front.
void add_padded(std::vector<unsigned char>& to, std::span<const std::byte> number) {
  to.insert(to.end(), kNumberBytes - number.size(), 0);
  for (const auto byte : number) to.push_back(std::to_integer<unsigned char>(byte));
}

Result<crypto::PublicKey> key_of(std::span<const std::byte> x, std::span<const std::byte> y) {
  std::vector<unsigned char> der(kP256Head.begin(), kP256Head.end());
  add_padded(der, x);
  add_padded(der, y);
  std::vector<unsigned char> text(der.size() * 2);
  const auto size = EVP_EncodeBlock(text.data(), der.data(), static_cast<int>(der.size()));
  return crypto::PublicKey::from_pem(
      fmt::format("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
                  std::string_view(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(size))));
}

std::unique_ptr<BIGNUM, Free> number_of(std::span<const std::byte> bytes) {
  auto* const made =
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr);
  if (made == nullptr) throw std::bad_alloc();
  return std::unique_ptr<BIGNUM, Free>(made);
}

/// As X.509 writes it.
std::vector<std::byte> der_of(std::span<const std::byte> r, std::span<const std::byte> s) {
  const std::unique_ptr<ECDSA_SIG, Free> pair(ECDSA_SIG_new());
  if (!pair) throw std::bad_alloc();
  if (ECDSA_SIG_set0(pair.get(), number_of(r).release(), number_of(s).release()) != 1) throw std::bad_alloc();
  unsigned char* encoded = nullptr;
  const auto size = i2d_ECDSA_SIG(pair.get(), &encoded);
  if (size < 0) throw std::bad_alloc();
  const std::unique_ptr<unsigned char, Free> owned(encoded);
  const auto* const begin = reinterpret_cast<const std::byte*>(encoded);
  return {begin, begin + size};
}

}  // namespace

Result<AttestationKey> AttestationKey::read(std::span<const std::byte> public_area) {
  if (public_area.size() > kKeyLimitBytes) return not_an_area();
  TpmBytes outer(public_area);
  const auto whole = outer.sized(kKeyLimitBytes);
  TpmBytes area(whole);
  const auto type = area.u16();
  const auto name_algorithm = area.u16();
  const auto attributes = area.u32();
  area.sized(kNumberBytes);  // A policy does not matter: it says who may let it sign.
  if (!outer.is_done() || !area.ok()) return not_an_area();
  // Of a key of another kind the rest looks otherwise.
  const bool kept = (attributes & kNeeded) == kNeeded && (attributes & kDecrypt) == 0;
  bool right = type == kEcc && name_algorithm == kSha256 && kept;
  right = right && area.u16() == kNull;
  right = right && area.u16() == kEcdsa && area.u16() == kSha256;
  right = right && area.u16() == kP256 && area.u16() == kNull;
  if (!right) {
    return Error(ErrorCode::invalid_argument, "VRG-ATT-002",
                 fmt::format("expected an attestation key (restricted, ECDSA with P-256 and SHA-256, made and kept by "
                             "its TPM), got a key of type 0x{:04x} with the attributes 0x{:08x}; let the device join "
                             "anew",
                             type, attributes));
  }
  const auto x = area.sized(kNumberBytes);
  const auto y = area.sized(kNumberBytes);
  if (!area.is_done()) return not_an_area();
  auto key = key_of(x, y);
  if (!key) return not_an_area();
  return AttestationKey(std::move(*key), name_of(whole));
}

Result<void> AttestationKey::verify(std::span<const std::byte> message, std::span<const std::byte> signature) const {
  TpmBytes bytes(signature.first(std::min(signature.size(), kSignatureLimitBytes + 1)));
  const auto scheme = bytes.u16();
  const auto hash = bytes.u16();
  const auto r = bytes.sized(kNumberBytes);
  const auto s = bytes.sized(kNumberBytes);
  if (!bytes.is_done() || scheme != kEcdsa || hash != kSha256) {
    return Error(ErrorCode::invalid_argument, "VRG-ATT-003",
                 fmt::format("expected a TPM's signature (ECDSA with SHA-256), got {} other bytes", signature.size()));
  }
  if (!key_.verify(message, der_of(r, s))) {
    return Error(ErrorCode::unauthenticated, "VRG-ATT-004",
                 "the quote is not signed by the attestation key with which the device joined: it is forged, or of "
                 "another TPM; where the TPM was exchanged or cleared on purpose, let the device join anew");
  }
  return {};
}

}  // namespace verge::attestation
