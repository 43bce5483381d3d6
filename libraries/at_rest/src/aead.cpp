#include "aead.hpp"

#include <cstdlib>
#include <new>

#include <openssl/kdf.h>
#include <openssl/rand.h>

#include <openssl/core_names.h>

namespace verge::at_rest {
namespace {

unsigned char* writable(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}
const unsigned char* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
int size_of(std::span<const std::byte> bytes) {
  return static_cast<int>(bytes.size());
}
/// What OpenSSL does unless memory is short.
void must(bool done) {
  if (!done) throw std::bad_alloc();
}

}  // namespace

void fill_randomly(std::span<std::byte> bytes) noexcept {
  if (RAND_priv_bytes(writable(bytes), size_of(bytes)) != 1) std::abort();
}

Secret derive(const Secret& key, std::span<const std::byte> salt, std::span<const std::byte> info) {
  const std::unique_ptr<EVP_KDF, void (*)(EVP_KDF*)> method(EVP_KDF_fetch(nullptr, "HKDF", nullptr), EVP_KDF_free);
  must(method != nullptr);
  const std::unique_ptr<EVP_KDF_CTX, void (*)(EVP_KDF_CTX*)> context(EVP_KDF_CTX_new(method.get()), EVP_KDF_CTX_free);
  must(context != nullptr);
  std::string_view digest = "SHA256";
  const auto octets = [](const char* name, std::span<const std::byte> bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte*>(bytes.data()), bytes.size());
  };
  const std::array<OSSL_PARAM, 5> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest.data()), 0),
      octets(OSSL_KDF_PARAM_KEY, key.bytes()), octets(OSSL_KDF_PARAM_SALT, salt), octets(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end()};
  Secret made;
  must(EVP_KDF_derive(context.get(), writable(made.bytes()), Secret::kBytes, parameters.data()) == 1);
  return made;
}

Aead::Aead(const Secret& key) : sealing_(EVP_CIPHER_CTX_new()), opening_(EVP_CIPHER_CTX_new()) {
  must(sealing_ != nullptr && opening_ != nullptr);
  must(EVP_EncryptInit_ex(sealing_.get(), EVP_aes_256_gcm(), nullptr, raw(key.bytes()), nullptr) == 1);
  must(EVP_DecryptInit_ex(opening_.get(), EVP_aes_256_gcm(), nullptr, raw(key.bytes()), nullptr) == 1);
}

void Aead::seal(std::span<const std::byte> about, std::span<const std::byte> plain, std::span<std::byte> frame) {
  const auto nonce = frame.first(kNonceBytes);
  const auto content = frame.subspan(kNonceBytes, plain.size());
  const auto tag = frame.subspan(kNonceBytes + plain.size(), kTagBytes);
  fill_randomly(nonce);
  auto* context = sealing_.get();
  int size = 0;
  must(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, raw(nonce)) == 1);
  must(EVP_EncryptUpdate(context, nullptr, &size, raw(about), size_of(about)) == 1);
  if (!plain.empty()) must(EVP_EncryptUpdate(context, writable(content), &size, raw(plain), size_of(plain)) == 1);
  must(EVP_EncryptFinal_ex(context, writable(tag), &size) == 1);
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1);
}

bool Aead::open(std::span<const std::byte> about, std::span<const std::byte> frame, std::span<std::byte> plain) {
  const auto nonce = frame.first(kNonceBytes);
  const auto content = frame.subspan(kNonceBytes, plain.size());
  auto* const tag = const_cast<std::byte*>(frame.last(kTagBytes).data());
  auto* context = opening_.get();
  int size = 0;
  must(EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, raw(nonce)) == 1);
  must(EVP_DecryptUpdate(context, nullptr, &size, raw(about), size_of(about)) == 1);
  if (!plain.empty()) must(EVP_DecryptUpdate(context, writable(plain), &size, raw(content), size_of(content)) == 1);
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag) == 1);
  std::array<unsigned char, kTagBytes> nothing_left{};
  return EVP_DecryptFinal_ex(context, nothing_left.data(), &size) == 1;
}

}  // namespace verge::at_rest
