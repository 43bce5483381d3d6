// Maker: an authority that certifies endorsement keys of TPMs, well or badly.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace verge::attestation::test {

inline constexpr std::int64_t kNow_s = 1'800'000'000;
inline constexpr std::int64_t kYear_s = 365 * 86'400;
inline constexpr const char* kForEndorsementKeys = "2.23.133.8.1";

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;

struct Order {
  std::string name = "device";
  bool authority = false;
  std::string usage{};  ///< Extended key usage; empty: none.
  std::int64_t from_s = kNow_s - kYear_s;
  std::int64_t until_s = kNow_s + kYear_s;
  const EVP_MD* digest = EVP_sha256();
};

inline void extend(X509* certificate, int kind, const std::string& value) {
  const std::unique_ptr<X509_EXTENSION, Free> extension(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
  ASSERT_TRUE(extension) << value;
  X509_add_ext(certificate, extension.get(), -1);
}

inline Certificate issue(const Order& order, EVP_PKEY* key, EVP_PKEY* signer, const X509* issuer) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 7);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), order.from_s);
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), order.until_s);
  auto* const subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(order.name.c_str()),
                             -1, -1, 0);
  X509_set_issuer_name(certificate.get(), issuer == nullptr ? subject : X509_get_subject_name(issuer));
  X509_set_pubkey(certificate.get(), key);
  extend(certificate.get(), NID_basic_constraints, order.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!order.usage.empty()) extend(certificate.get(), NID_ext_key_usage, order.usage);
  X509_sign(certificate.get(), signer, order.digest);
  return certificate;
}

inline std::string pem_of(X509* certificate) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

struct Maker {
  explicit Maker(const std::string& name, std::int64_t until_s = kNow_s + 2 * kYear_s)
      : key(EVP_EC_gen("P-256")), certificate(issue(order_of(name, until_s), key.get(), key.get(), nullptr)) {}
  static Order order_of(const std::string& name, std::int64_t until_s) {
    Order order;
    order.name = name;
    order.authority = true;
    order.until_s = until_s;
    return order;
  }
  [[nodiscard]] std::vector<std::byte> endorse(EVP_PKEY* whom, const Order& order) const {
    const auto issued = issue(order, whom, key.get(), certificate.get());
    unsigned char* der = nullptr;
    const auto size = static_cast<std::size_t>(i2d_X509(issued.get(), &der));
    const auto bytes = std::as_bytes(std::span(der, size));
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    OPENSSL_free(der);
    return copy;
  }
  Key key;
  Certificate certificate;
};

/// A P-256 key out of a TPM's public area, which it ends.
inline Key key_in(const std::vector<std::byte>& area) {
  std::vector<std::byte> point{std::byte{4}};
  point.insert(point.end(), area.end() - 66, area.end() - 34);
  point.insert(point.end(), area.end() - 32, area.end());
  Key key(EVP_EC_gen("P-256"));
  EXPECT_EQ(
      EVP_PKEY_set1_encoded_public_key(key.get(), reinterpret_cast<const unsigned char*>(point.data()), point.size()),
      1);
  return key;
}

}  // namespace verge::attestation::test
