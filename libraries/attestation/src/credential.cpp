#include "verge/attestation/credential.hpp"

#include <cstring>
#include <string>
#include <string_view>

#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "openssl_owner.hpp"
#include "tpm_bytes.hpp"

namespace verge::attestation {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kAesBytes = 16;
constexpr std::size_t kPointBytes = 65;  ///< 4, x, y.
constexpr std::size_t kNumberBytes = 32;
/// With the zero that ends it: a part of it wherever a TPM hashes a label.
constexpr std::string_view kIdentity{"IDENTITY\0", 9};

/// What the secret is encrypted with, and what tells it to the TPM.
struct Seed {
  Bytes plain;
  Bytes encrypted;  ///< Content of TPM2B_ENCRYPTED_SECRET.
};

Error not_encrypted() {
  ERR_clear_error();
  return Error(ErrorCode::invalid_argument, "VRG-ATT-010",
               "expected an endorsement key that a secret can be encrypted to, got one that takes none; have a look at "
               "the device's TPM");
}

OSSL_PARAM text(const char* key, const char* value) {
  return OSSL_PARAM_construct_utf8_string(key, const_cast<char*>(value), 0);
}
OSSL_PARAM octets(const char* key, std::span<const std::byte> value) {
  return OSSL_PARAM_construct_octet_string(key, const_cast<std::byte*>(value.data()), value.size());
}

Bytes derive(const char* kdf, const OSSL_PARAM* parameters, std::size_t size_bytes) {
  const auto algorithm = made(EVP_KDF_fetch(nullptr, kdf, nullptr));
  const auto context = made(EVP_KDF_CTX_new(algorithm.get()));
  Bytes key(size_bytes);
  must(EVP_KDF_derive(context.get(), into(key), key.size(), parameters) == 1);
  return key;
}

/// KDFa with SHA-256 (Part 1, 11.4.10.2): NIST SP 800-108 in counter mode, with HMAC.
Bytes kdf_a(std::span<const std::byte> key, std::string_view label, std::span<const std::byte> context,
            std::size_t size_bytes) {
  const std::array parameters{text(OSSL_KDF_PARAM_MODE, "counter"),
                              text(OSSL_KDF_PARAM_MAC, "HMAC"),
                              text(OSSL_KDF_PARAM_DIGEST, "SHA256"),
                              octets(OSSL_KDF_PARAM_KEY, key),
                              octets(OSSL_KDF_PARAM_SALT, std::as_bytes(std::span(label))),
                              octets(OSSL_KDF_PARAM_INFO, context),
                              OSSL_PARAM_construct_end()};
  return derive("KBKDF", parameters.data(), size_bytes);
}

/// KDFe with SHA-256 (Part 1, 11.4.10.3): the one-step derivation of NIST SP 800-56A.
Bytes kdf_e(std::span<const std::byte> shared, std::span<const std::byte> mine, std::span<const std::byte> theirs) {
  const auto label = std::as_bytes(std::span(kIdentity));
  Bytes info(label.begin(), label.end());
  info.insert(info.end(), mine.begin(), mine.end());
  info.insert(info.end(), theirs.begin(), theirs.end());
  const std::array parameters{text(OSSL_KDF_PARAM_DIGEST, "SHA256"), octets(OSSL_KDF_PARAM_KEY, shared),
                              octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
  return derive("SSKDF", parameters.data(), kDigestBytes);
}

Result<Seed> seed_for_rsa(EVP_PKEY* key) {
  Seed seed;
  seed.plain.resize(kDigestBytes);
  must(RAND_bytes(into(seed.plain), static_cast<int>(seed.plain.size())) == 1);
  const auto context = made(EVP_PKEY_CTX_new(key, nullptr));
  auto label = made(static_cast<unsigned char*>(OPENSSL_memdup(kIdentity.data(), kIdentity.size())));
  const bool ready = EVP_PKEY_encrypt_init(context.get()) == 1 &&
                     EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
                     EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EVP_sha256()) == 1 &&
                     EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), EVP_sha256()) == 1 &&
                     EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), label.get(), kIdentity.size()) == 1;
  if (!ready) return not_encrypted();
  (void)label.release();  // The context's now.
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(key));
  seed.encrypted.resize(size);
  if (EVP_PKEY_encrypt(context.get(), into(seed.encrypted), &size, into(seed.plain), seed.plain.size()) != 1) {
    return not_encrypted();
  }
  seed.encrypted.resize(size);
  return seed;
}

Result<Seed> seed_for_p256(EVP_PKEY* key, std::span<const std::byte> x) {
  const auto mine = made(EVP_EC_gen("P-256"));
  unsigned char* encoded = nullptr;
  const auto encoded_bytes = EVP_PKEY_get1_encoded_public_key(mine.get(), &encoded);
  const Owner<unsigned char> owner(encoded);
  must(encoded_bytes == kPointBytes);
  const auto point = std::as_bytes(std::span(encoded, encoded_bytes));
  const auto my_x = point.subspan(1, kNumberBytes);
  const auto context = made(EVP_PKEY_CTX_new(mine.get(), nullptr));
  Bytes shared(kNumberBytes);
  std::size_t size = shared.size();
  if (EVP_PKEY_derive_init(context.get()) != 1 || EVP_PKEY_derive_set_peer(context.get(), key) != 1 ||
      EVP_PKEY_derive(context.get(), into(shared), &size) != 1) {
    return not_encrypted();
  }
  Seed seed;
  seed.plain = kdf_e(shared, my_x, x);
  add_sized(seed.encrypted, my_x);
  add_sized(seed.encrypted, point.last(kNumberBytes));
  return seed;
}

/// AES-128 in CFB mode from a vector of zeros: its key is used once.
Bytes encrypt(std::span<const std::byte> key, std::span<const std::byte> plain) {
  const std::array<unsigned char, kAesBytes> zeros{};
  const auto context = made(EVP_CIPHER_CTX_new());
  Bytes encrypted(plain.size());
  int size = 0;
  must(EVP_EncryptInit_ex(context.get(), EVP_aes_128_cfb128(), nullptr, bytes_of(key), zeros.data()) == 1);
  must(EVP_EncryptUpdate(context.get(), into(encrypted), &size, bytes_of(plain), static_cast<int>(plain.size())) == 1);
  return encrypted;
}

Digest hmac(std::span<const std::byte> key, std::span<const std::byte> message) {
  Digest code{};
  unsigned size = 0;
  must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(message), message.size(), into(code),
            &size) != nullptr);
  return code;
}

}  // namespace

Result<Credential> make_credential(const EndorsementKey& endorsement, const AttestationKey& key,
                                   std::span<const std::byte> secret) {
  auto* const theirs = EndorsementAccess::key(endorsement);
  const auto& x = EndorsementAccess::x(endorsement);
  VERGE_ASSIGN(const auto seed, x.empty() ? seed_for_rsa(theirs) : seed_for_p256(theirs, x));
  Bytes plain;
  add_sized(plain, secret);
  const auto encrypted = encrypt(kdf_a(seed.plain, "STORAGE", key.name(), kAesBytes), plain);
  Bytes covered = encrypted;
  covered.insert(covered.end(), key.name().begin(), key.name().end());
  Bytes content;
  add_sized(content, hmac(kdf_a(seed.plain, "INTEGRITY", {}, kDigestBytes), covered));
  content.insert(content.end(), encrypted.begin(), encrypted.end());
  Credential credential;
  add_sized(credential.blob, content);
  add_sized(credential.seed, seed.encrypted);
  return credential;
}

}  // namespace verge::attestation
