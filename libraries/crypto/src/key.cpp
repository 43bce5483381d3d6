#include "verge/crypto/key.hpp"

#include <array>
#include <cassert>
#include <cstring>

#include <fmt/format.h>
#include <openssl/rsa.h>

#include "openssl_owner.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::crypto {
namespace {

constexpr int kRsaLeastBits = 2048;
constexpr std::size_t kRsaNewBits = 3072;
constexpr std::size_t kEd25519Bytes = 32;
/// Above any PEM of a key that OpenSSL would compute with.
constexpr std::size_t kPemLimitBytes = 64U << 10U;

Error not_a_key(std::string_view kind) {
  return Error(ErrorCode::invalid_argument, "VRG-CRY-001",
               fmt::format("expected a {} key as PEM, got something else: {}", kind, openssl_reason()));
}

Result<KeyKind> kind_of(EVP_PKEY* key) {
  const int id = EVP_PKEY_get_base_id(key);
  if (id == EVP_PKEY_ED25519) return KeyKind::ed25519;
  if (id == EVP_PKEY_EC) {
    std::array<char, 64> group{};
    std::size_t size = 0;
    EVP_PKEY_get_group_name(key, group.data(), group.size(), &size);
    if (std::string_view(group.data()) == "prime256v1") return KeyKind::ecdsa_p256;
  }
  if (id == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= kRsaLeastBits) return KeyKind::rsa;
  const char* name = EVP_PKEY_get0_type_name(key);
  return Error(ErrorCode::invalid_argument, "VRG-CRY-002",
               fmt::format("expected a key of kind Ed25519, ECDSA P-256 or RSA of at least {} bits, got {} of {} bits",
                           kRsaLeastBits, name == nullptr ? "an unknown kind" : name, EVP_PKEY_get_bits(key)));
}

/// Digest and padding as PublicKey::verify() promises. Ed25519 takes neither.
bool set_up(EVP_PKEY_CTX* context, KeyKind kind, int salt) {
  if (kind != KeyKind::rsa) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt) == 1;
}
const EVP_MD* digest_of(KeyKind kind) {
  return kind == KeyKind::ed25519 ? nullptr : EVP_sha256();
}
const unsigned char* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

std::string openssl_reason() {
  const auto code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  std::string text = reason == nullptr ? "no further reason known" : reason;
  ERR_clear_error();
  return text;
}

int no_password(char*, int, int, void*) {
  return -1;
}

std::string fingerprint_of(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  const Owner<unsigned char> owner(der);
  must(size > 0);
  return sha256(std::as_bytes(std::span(der, static_cast<std::size_t>(size))));
}

Result<PublicKey> KeyAccess::make(Owner<EVP_PKEY> key) {
  VERGE_ASSIGN(const KeyKind kind, kind_of(key.get()));
  return PublicKey(std::make_shared<const PublicKey::State>(PublicKey::State{std::move(key), kind}));
}

Result<PrivateKey> KeyAccess::make_private(Owner<EVP_PKEY> key, std::shared_ptr<Token> token) {
  VERGE_ASSIGN(const KeyKind kind, kind_of(key.get()));
  return PrivateKey(
      std::make_shared<const PrivateKey::State>(PrivateKey::State{std::move(token), std::move(key), kind}));
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  if (pem.size() > kPemLimitBytes) return not_a_key("public");
  const auto bio = reader_of(pem);
  Owner<EVP_PKEY> key(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) return not_a_key("public");
  ERR_clear_error();
  return KeyAccess::make(std::move(key));
}

Result<PublicKey> PublicKey::from_ed25519(std::span<const std::byte> bytes) {
  if (bytes.size() != kEd25519Bytes) {
    return Error(ErrorCode::invalid_argument, "VRG-CRY-001",
                 fmt::format("expected the {} bytes of an Ed25519 key, got {}", kEd25519Bytes, bytes.size()));
  }
  return KeyAccess::make(made(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(bytes), bytes.size())));
}

KeyKind PublicKey::kind() const noexcept {
  return state_->kind;
}

std::string PublicKey::pem() const {
  const auto bio = made(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_PUBKEY(bio.get(), state_->key.get()) == 1);
  return text_of(bio.get());
}

std::vector<std::byte> PublicKey::ed25519() const {
  if (state_->kind != KeyKind::ed25519) return {};
  std::vector<std::byte> bytes(kEd25519Bytes);
  std::size_t size = bytes.size();
  must(EVP_PKEY_get_raw_public_key(state_->key.get(), reinterpret_cast<unsigned char*>(bytes.data()), &size) == 1);
  return bytes;
}

std::string PublicKey::fingerprint() const {
  return fingerprint_of(state_->key.get());
}

bool PublicKey::verify(std::span<const std::byte> message, std::span<const std::byte> signature) const {
  const auto context = made(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  const bool valid =
      EVP_DigestVerifyInit(context.get(), &key_context, digest_of(state_->kind), nullptr, state_->key.get()) == 1 &&
      set_up(key_context, state_->kind, RSA_PSS_SALTLEN_AUTO) &&
      EVP_DigestVerify(context.get(), raw(signature), signature.size(), raw(message), message.size()) == 1;
  ERR_clear_error();
  return valid;
}

PrivateKey PrivateKey::generate(KeyKind kind) {
  EVP_PKEY* key = nullptr;
  switch (kind) {
    case KeyKind::ed25519: key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); break;
    case KeyKind::ecdsa_p256: key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"); break;
    case KeyKind::rsa: key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", kRsaNewBits); break;
  }
  return PrivateKey(std::make_shared<const State>(State{nullptr, made(key), kind}));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > kPemLimitBytes) return not_a_key("private");
  const auto bio = reader_of(pem);
  Owner<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) return not_a_key("private");
  ERR_clear_error();
  return KeyAccess::make_private(std::move(key), nullptr);
}

std::string PrivateKey::pem() const {
  const auto bio = made(BIO_new(BIO_s_secmem()));
  must(PEM_write_bio_PKCS8PrivateKey(bio.get(), state_->key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_of(bio.get());
}

PublicKey PrivateKey::public_key() const {
  // A copy without the private half: this key's memory must not live on in a public one.
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(state_->key.get(), &der);
  const Owner<unsigned char> owner(der);
  must(size > 0);
  const unsigned char* at = der;
  auto key = made(d2i_PUBKEY(nullptr, &at, size));
  return PublicKey(std::make_shared<const PublicKey::State>(PublicKey::State{std::move(key), state_->kind}));
}

Result<std::vector<std::byte>> PrivateKey::sign(std::span<const std::byte> message) const {
  const auto context = made(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  std::vector<std::byte> signature;
  std::size_t size = 0;
  const Token memory;
  const Token& place = state_->token == nullptr ? memory : *state_->token;
  const EVP_MD* digest = digest_of(state_->kind);
  const char* digest_name = digest == nullptr ? nullptr : EVP_MD_get0_name(digest);
  const bool done =
      EVP_DigestSignInit_ex(context.get(), &key_context, digest_name, place.context, place.properties,
                            state_->key.get(), nullptr) == 1 &&
      set_up(key_context, state_->kind, RSA_PSS_SALTLEN_DIGEST) &&
      EVP_DigestSign(context.get(), nullptr, &size, raw(message), message.size()) == 1 &&
      (signature.resize(size), EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                                              raw(message), message.size()) == 1);
  signature.resize(size);
  if (done) return signature;
  must(state_->token != nullptr);
  return Error(ErrorCode::unavailable, "VRG-CRY-012",
               fmt::format("the token did not sign: {}; look whether it is there and unlocked", openssl_reason()));
}

}  // namespace verge::crypto
