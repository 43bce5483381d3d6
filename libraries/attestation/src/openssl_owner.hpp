// Owners of OpenSSL's objects, for this module alone.
#pragma once

#include <memory>
#include <new>
#include <span>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "verge/attestation/endorsement_key.hpp"

namespace verge::attestation {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
  void operator()(OSSL_PARAM* parameters) const { OSSL_PARAM_free(parameters); }
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(EXTENDED_KEY_USAGE* usage) const { EXTENDED_KEY_USAGE_free(usage); }
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
inline const unsigned char* bytes_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
inline unsigned char* into(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

struct EndorsementKey::State {
  Owner<EVP_PKEY> key;
  std::vector<std::byte> x;  ///< Of a point on P-256, as the TPM wrote it; empty: RSA.
};

/// How credentials and certificates get at the key.
struct EndorsementAccess {
  static EVP_PKEY* key(const EndorsementKey& endorsement) { return endorsement.state_->key.get(); }
  static const std::vector<std::byte>& x(const EndorsementKey& endorsement) { return endorsement.state_->x; }
};

}  // namespace verge::attestation
