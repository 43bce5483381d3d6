// Owners of OpenSSL's objects, and the state of keys, for this module alone.
#pragma once

#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "verge/crypto/key.hpp"

namespace verge::crypto {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_REQ* request) const { X509_REQ_free(request); }
  void operator()(X509_NAME* name) const { X509_NAME_free(name); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(ASN1_OCTET_STRING* text) const { ASN1_OCTET_STRING_free(text); }
  void operator()(X509_SIG* encrypted) const { X509_SIG_free(encrypted); }
  void operator()(X509_ALGOR* algorithm) const { X509_ALGOR_free(algorithm); }
  void operator()(PKCS8_PRIV_KEY_INFO* key) const { PKCS8_PRIV_KEY_INFO_free(key); }
  void operator()(unsigned char* bytes) const { OPENSSL_free(bytes); }
};
template <typename T>
using Owner = std::unique_ptr<T, Free>;

/// What OpenSSL makes unless memory is short.
template <typename T>
Owner<T> made(T* object) {
  if (object == nullptr) throw std::bad_alloc();
  return Owner<T>(object);
}
inline void must(bool done) {
  if (!done) throw std::bad_alloc();
}

/// Reads `text`, which must outlive it.
inline Owner<BIO> reader_of(std::string_view text) {
  return made(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}
/// What was written to a memory BIO.
inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}
/// Why OpenSSL refused, in its words; forgets it.
std::string openssl_reason();
/// Stands in for the default, which asks the terminal for a password.
int no_password(char*, int, int, void*);

struct PublicKey::State {
  Owner<EVP_PKEY> key;
  KeyKind kind;
};
/// What a key lies in that never leaves it.
struct Token {
  std::shared_ptr<void> engine;     ///< Of PKCS #11.
  OSSL_LIB_CTX* context = nullptr;  ///< With a provider of its own: TPM.
  OSSL_PROVIDER* base = nullptr;
  OSSL_PROVIDER* provider = nullptr;
  const char* properties = nullptr;  ///< By which OpenSSL finds that provider.
  Token() = default;
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;
  ~Token() {
    if (provider != nullptr) OSSL_PROVIDER_unload(provider);
    if (base != nullptr) OSSL_PROVIDER_unload(base);
    OSSL_LIB_CTX_free(context);
  }
};
struct PrivateKey::State {
  std::shared_ptr<Token> token;  ///< What the key lies in, if not in memory; goes after it.
  Owner<EVP_PKEY> key;
  KeyKind kind;
};

/// How certificates get at keys.
struct KeyAccess {
  static EVP_PKEY* of(const PublicKey& key) { return key.state_->key.get(); }
  static EVP_PKEY* of(const PrivateKey& key) { return key.state_->key.get(); }
  static KeyKind kind(const PrivateKey& key) { return key.state_->kind; }
  /// Errors: VRG-CRY-002.
  static Result<PublicKey> make(Owner<EVP_PKEY> key);
  static Result<PrivateKey> make_private(Owner<EVP_PKEY> key, std::shared_ptr<Token> token);
};

/// "sha256:…" of the key's SubjectPublicKeyInfo in DER.
std::string fingerprint_of(EVP_PKEY* key);

}  // namespace verge::crypto
