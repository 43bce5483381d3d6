#include "verge/crypto/key.hpp"

#include <array>
#include <string>

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "verge/crypto/random.hpp"

namespace verge::crypto {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A key that we do not make ourselves, as PEM: public, or private.
std::string foreign_pem(EVP_PKEY* key, bool private_half, const char* password = nullptr) {
  BIO* bio = BIO_new(BIO_s_mem());
  if (private_half) {
    const auto size = password == nullptr ? 0 : static_cast<int>(std::string_view(password).size());
    PEM_write_bio_PKCS8PrivateKey(bio, key, password == nullptr ? nullptr : EVP_aes_256_cbc(), password, size, nullptr,
                                  nullptr);
  } else {
    PEM_write_bio_PUBKEY(bio, key);
  }
  char* text = nullptr;
  const auto size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(key);
  return pem;
}

class EachKind : public testing::TestWithParam<KeyKind> {};

TEST_P(EachKind, SignsWhatItsPublicHalfVerifies) {
  const auto key = PrivateKey::generate(GetParam());
  const auto public_key = key.public_key();
  EXPECT_EQ(public_key.kind(), GetParam());
  const auto signature = *key.sign(bytes_of("message"));
  EXPECT_TRUE(public_key.verify(bytes_of("message"), signature));
  EXPECT_FALSE(public_key.verify(bytes_of("messagE"), signature));
  EXPECT_FALSE(public_key.verify(bytes_of("message"), std::span(signature).first(signature.size() - 1)));
  EXPECT_FALSE(public_key.verify(bytes_of("message"), {}));
  for (std::size_t i = 0; i < signature.size(); i += 7) {
    auto changed = signature;
    changed[i] ^= std::byte{1};
    EXPECT_FALSE(public_key.verify(bytes_of("message"), changed)) << i;
  }
  EXPECT_FALSE(PrivateKey::generate(GetParam()).public_key().verify(bytes_of("message"), signature));
  EXPECT_TRUE(public_key.verify({}, *key.sign({}))) << "an empty message";
}

TEST_P(EachKind, ComesBackFromPem) {
  const auto key = PrivateKey::generate(GetParam());
  EXPECT_THAT(key.pem(), StartsWith("-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_THAT(key.public_key().pem(), StartsWith("-----BEGIN PUBLIC KEY-----\n"));
  const auto again = PrivateKey::from_pem(key.pem());
  ASSERT_TRUE(again);
  const auto public_again = PublicKey::from_pem(key.public_key().pem());
  ASSERT_TRUE(public_again);
  EXPECT_TRUE(public_again->verify(bytes_of("x"), *again->sign(bytes_of("x"))));
  EXPECT_EQ(public_again->fingerprint(), key.public_key().fingerprint());
  EXPECT_NE(PrivateKey::generate(GetParam()).public_key().fingerprint(), key.public_key().fingerprint());
  EXPECT_THAT(key.public_key().fingerprint(), StartsWith("sha256:"));
}

TEST_P(EachKind, OneHalfIsNotTakenForTheOther) {
  const auto key = PrivateKey::generate(GetParam());
  EXPECT_EQ(PrivateKey::from_pem(key.public_key().pem()).error().id(), "VRG-CRY-001");
  EXPECT_EQ(PublicKey::from_pem(key.pem()).error().id(), "VRG-CRY-001");
}

INSTANTIATE_TEST_SUITE_P(Key, EachKind, testing::Values(KeyKind::ed25519, KeyKind::ecdsa_p256, KeyKind::rsa));

TEST(Key, Ed25519IsMadeFromItsBytes) {
  const auto key = PrivateKey::generate(KeyKind::ed25519);
  const auto raw = key.public_key().ed25519();
  ASSERT_EQ(raw.size(), 32U);
  const auto again = PublicKey::from_ed25519(raw);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->fingerprint(), key.public_key().fingerprint());
  EXPECT_EQ(PublicKey::from_ed25519(std::span(raw).first(31)).error().id(), "VRG-CRY-001");
  EXPECT_TRUE(PrivateKey::generate(KeyKind::ecdsa_p256).public_key().ed25519().empty());
}

TEST(Key, VerifiesTheExampleOfRfc8032) {
  constexpr std::array<unsigned char, 32> kKey{0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
                                               0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
                                               0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
  constexpr std::array<unsigned char, 64> kSignature{
      0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72, 0x90, 0x86, 0xe2, 0xcc, 0x80, 0x6e, 0x82, 0x8a,
      0x84, 0x87, 0x7f, 0x1e, 0xb8, 0xe5, 0xd9, 0x74, 0xd8, 0x73, 0xe0, 0x65, 0x22, 0x49, 0x01, 0x55,
      0x5f, 0xb8, 0x82, 0x15, 0x90, 0xa3, 0x3b, 0xac, 0xc6, 0x1e, 0x39, 0x70, 0x1c, 0xf9, 0xb4, 0x6b,
      0xd2, 0x5b, 0xf5, 0xf0, 0x59, 0x5b, 0xbe, 0x24, 0x65, 0x51, 0x41, 0x43, 0x8e, 0x7a, 0x10, 0x0b};
  const auto key = PublicKey::from_ed25519(std::as_bytes(std::span(kKey)));
  ASSERT_TRUE(key);
  EXPECT_TRUE(key->verify({}, std::as_bytes(std::span(kSignature))));
  EXPECT_FALSE(key->verify(bytes_of("x"), std::as_bytes(std::span(kSignature))));
}

TEST(Key, WeakAndUnknownKindsAreRefused) {
  for (const bool private_half : {false, true}) {
    const auto id = [&](EVP_PKEY* made) {
      const auto pem = foreign_pem(made, private_half);
      return private_half ? PrivateKey::from_pem(pem).error() : PublicKey::from_pem(pem).error();
    };
    const auto weak = id(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
    EXPECT_EQ(weak.id(), "VRG-CRY-002");
    EXPECT_THAT(weak.message(), HasSubstr("got RSA of 1024 bits"));
    EXPECT_EQ(id(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384")).id(), "VRG-CRY-002");
    EXPECT_EQ(id(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448")).id(), "VRG-CRY-002");
  }
}

TEST(Key, WhatIsNoKeyIsRefused) {
  for (const std::string pem : {"", "nothing", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}) {
    EXPECT_EQ(PublicKey::from_pem(pem).error().id(), "VRG-CRY-001");
    EXPECT_EQ(PrivateKey::from_pem(pem).error().id(), "VRG-CRY-001");
  }
  EXPECT_EQ(PublicKey::from_pem(std::string(1U << 20U, 'x')).error().id(), "VRG-CRY-001");
}

TEST(Key, AnEncryptedKeyIsRefusedWithoutAskingForItsPassword) {
  const auto pem = foreign_pem(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), true, "password");
  EXPECT_THAT(pem, HasSubstr("ENCRYPTED"));
  EXPECT_EQ(PrivateKey::from_pem(pem).error().id(), "VRG-CRY-001");
}

TEST_P(EachKind, ComesBackFromAnEncryptedFile) {
  const auto key = PrivateKey::generate(GetParam());
  const auto pem = key.encrypted_pem("a passphrase");
  EXPECT_THAT(pem, StartsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
  EXPECT_NE(pem, key.encrypted_pem("a passphrase")) << "salted";
  const auto again = PrivateKey::from_encrypted_pem(pem, "a passphrase");
  ASSERT_TRUE(again);
  EXPECT_TRUE(key.public_key().verify(bytes_of("x"), *again->sign(bytes_of("x"))));
  EXPECT_EQ(PrivateKey::from_encrypted_pem(pem, "another").error().id(), "VRG-CRY-010");
  EXPECT_EQ(PrivateKey::from_encrypted_pem(pem, "").error().id(), "VRG-CRY-010");
  EXPECT_EQ(PrivateKey::from_encrypted_pem(pem, std::string(100'000, 'x')).error().id(), "VRG-CRY-010");
  EXPECT_EQ(PrivateKey::from_encrypted_pem(key.pem(), "a passphrase").error().id(), "VRG-CRY-001")
      << "a key that is not encrypted is no signing key";
  EXPECT_EQ(PrivateKey::from_pem(pem).error().id(), "VRG-CRY-001");
}

TEST(Key, AFileThatOpensslEncryptedIsRead) {
  const auto pem = foreign_pem(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), true, "password");
  ASSERT_TRUE(PrivateKey::from_encrypted_pem(pem, "password"));
  EXPECT_EQ(PrivateKey::from_encrypted_pem(pem.substr(0, pem.size() / 2), "password").error().id(), "VRG-CRY-010");
  EXPECT_EQ(PrivateKey::from_encrypted_pem(pem + std::string(1U << 20U, ' '), "password").error().id(), "VRG-CRY-001");
}

TEST(Key, TokensThatAreNotThereAreNamed) {
  EXPECT_TRUE(PrivateKey::is_token("pkcs11:object=a"));
  EXPECT_TRUE(PrivateKey::is_token("tpm2:0x81000001"));
  EXPECT_FALSE(PrivateKey::is_token("alice.pem"));
  EXPECT_EQ(PrivateKey::from_token("alice.pem", "").error().id(), "VRG-CRY-011");
  const auto none = PrivateKey::from_token("pkcs11:object=a?module-path=/nowhere.so&pin-value=4321", "");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().id(), "VRG-CRY-011");
  EXPECT_THAT(none.error().message(), Not(HasSubstr("4321"))) << "the PIN is not shown";
}

TEST(Random, GivesHexadecimalDigitsThatDiffer) {
  EXPECT_EQ(random_hex(0), "");
  const auto one = random_hex(32);
  EXPECT_EQ(one.size(), 64U);
  EXPECT_EQ(one.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(random_hex(32), one);
}

TEST(Random, ComparesSecrets) {
  EXPECT_TRUE(same_secret("abc", "abc"));
  EXPECT_TRUE(same_secret("", ""));
  EXPECT_FALSE(same_secret("abc", "abd"));
  EXPECT_FALSE(same_secret("abc", "abcd"));
  EXPECT_FALSE(same_secret("abc", ""));
}

}  // namespace
}  // namespace verge::crypto
