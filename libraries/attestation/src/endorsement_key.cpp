#include "verge/attestation/endorsement_key.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "openssl_owner.hpp"
#include "tpm_bytes.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::attestation {
namespace {

constexpr std::uint16_t kModulusBits = 2048;
constexpr std::uint16_t kAesBits = 128;
constexpr std::size_t kNumberBytes = 32;
constexpr unsigned long kExponent = 65537;
constexpr std::uint32_t kAttributes =
    kFixedTpm | kFixedParent | kMadeInside | kAdminWithPolicy | kRestricted | kDecrypt;

/// Whoever may use the TPM's endorsement hierarchy may use the key: PolicySecret(TPM_RH_ENDORSEMENT).
constexpr std::array<unsigned char, kDigestBytes> kPolicy{
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
    0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA};

Error not_an_area() {
  return Error(ErrorCode::invalid_argument, "VRG-ATT-008",
               fmt::format("expected the public area of an endorsement key (TPM2B_PUBLIC, at most {} bytes), got other "
                           "bytes; update the device's agent",
                           kEndorsementKeyLimitBytes));
}

Error of_another_kind(std::uint16_t type, std::uint32_t attributes) {
  return Error(ErrorCode::invalid_argument, "VRG-ATT-009",
               fmt::format("expected an endorsement key as every TPM can make it (RSA 2048 or P-256, templates L-1 and "
                           "L-2 of the TCG EK Credential Profile), got a key of type 0x{:04x} with the attributes "
                           "0x{:08x}",
                           type, attributes));
}

/// Null: such a key cannot be.
Owner<EVP_PKEY> key_of(const char* type, OSSL_PARAM_BLD* builder) {
  const Owner<OSSL_PARAM> parameters = made(OSSL_PARAM_BLD_to_param(builder));
  const auto context = made(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  must(EVP_PKEY_fromdata_init(context.get()) == 1);
  EVP_PKEY* key = nullptr;
  (void)EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get());
  ERR_clear_error();
  return Owner<EVP_PKEY>(key);
}

/// Null: a product of primes looks otherwise.
Owner<EVP_PKEY> rsa_key(std::span<const std::byte> modulus) {
  const auto n = made(BN_bin2bn(bytes_of(modulus), static_cast<int>(modulus.size()), nullptr));
  if (BN_num_bits(n.get()) != kModulusBits || BN_is_odd(n.get()) == 0) return nullptr;
  const auto builder = made(OSSL_PARAM_BLD_new());
  must(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) == 1);
  must(OSSL_PARAM_BLD_push_ulong(builder.get(), OSSL_PKEY_PARAM_RSA_E, kExponent) == 1);
  return key_of("RSA", builder.get());
}

/// Null: the point is not on the curve.
Owner<EVP_PKEY> p256_key(std::span<const std::byte> x, std::span<const std::byte> y) {
  std::vector<std::byte> point{std::byte{4}};
  for (const auto number : {x, y}) {
    point.insert(point.end(), kNumberBytes - number.size(), std::byte{0});  // That a TPM may leave out.
    point.insert(point.end(), number.begin(), number.end());
  }
  const auto builder = made(OSSL_PARAM_BLD_new());
  must(OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1);
  must(OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1);
  return key_of("EC", builder.get());
}

}  // namespace

Result<EndorsementKey> EndorsementKey::read(std::span<const std::byte> public_area) {
  if (public_area.size() > kEndorsementKeyLimitBytes) return not_an_area();
  TpmBytes outer(public_area);
  TpmBytes area(outer.sized(kEndorsementKeyLimitBytes));
  const auto type = area.u16();
  const auto name_algorithm = area.u16();
  const auto attributes = area.u32();
  const auto policy = area.sized(kDigestBytes);
  if (!outer.is_done() || !area.ok()) return not_an_area();
  bool right = (type == kRsa || type == kEcc) && name_algorithm == kSha256 && attributes == kAttributes &&
               std::ranges::equal(policy, std::as_bytes(std::span(kPolicy)));
  // Of a key of another kind the rest looks otherwise.
  right = right && area.u16() == kAes && area.u16() == kAesBits && area.u16() == kCfb && area.u16() == kNull;
  if (type == kRsa) {
    right = right && area.u16() == kModulusBits && area.u32() == 0;  // 0: the usual exponent.
  } else {
    right = right && area.u16() == kP256 && area.u16() == kNull;
  }
  if (!right) return area.ok() ? of_another_kind(type, attributes) : not_an_area();
  auto state = std::make_shared<State>();
  if (type == kRsa) {
    const auto modulus = area.sized(kModulusBits / 8);
    state->key = area.is_done() ? rsa_key(modulus) : nullptr;
  } else {
    const auto x = area.sized(kNumberBytes);
    const auto y = area.sized(kNumberBytes);
    state->key = area.is_done() ? p256_key(x, y) : nullptr;
    state->x.assign(x.begin(), x.end());
  }
  if (state->key == nullptr) return not_an_area();
  return EndorsementKey(std::move(state));
}

std::string EndorsementKey::fingerprint() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(state_->key.get(), &der);
  must(size > 0);
  const Owner<unsigned char> owner(der);
  return crypto::sha256(std::as_bytes(std::span(der, static_cast<std::size_t>(size))));
}

}  // namespace verge::attestation
