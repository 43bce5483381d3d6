#include "verge/crypto/certificate.hpp"

#include <memory>

#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace verge::crypto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kNow_s = 1'800'000'000;
constexpr std::int64_t kDay_s = 86'400;

using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
Certificate parsed(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  Certificate certificate(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), X509_free);
  BIO_free(bio);
  return certificate;
}

/// OpenSSL's own verdict on a certificate: its reason, "ok" when there is none.
std::string verdict(const std::string& pem, const std::string& authority, int purpose, std::int64_t time_s,
                    const char* host = nullptr, const char* address = nullptr) {
  const auto certificate = parsed(pem);
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, parsed(authority).get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, certificate.get(), nullptr);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set_purpose(parameters, purpose);
  X509_VERIFY_PARAM_set_time(parameters, time_s);
  if (host != nullptr) X509_VERIFY_PARAM_set1_host(parameters, host, 0);
  if (address != nullptr) X509_VERIFY_PARAM_set1_ip_asc(parameters, address);
  X509_verify_cert(context);
  std::string text = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return text;
}

class Certificates : public testing::TestWithParam<KeyKind> {
 protected:
  PrivateKey authority_key_ = PrivateKey::generate(GetParam());
  std::string authority_ = make_authority(authority_key_, "Verge hub", kNow_s, 3650);
  PrivateKey key_ = PrivateKey::generate(KeyKind::ed25519);

  std::string issue(CertificateUse use, std::vector<std::string> names) const {
    const CertificateOrder order{"device 1", std::move(names), use, kNow_s, 30};
    return issue_certificate(order, key_.public_key(), authority_, authority_key_).value();
  }
};

TEST_P(Certificates, AServersIsValidForItsNamesAndItsTime) {
  const auto pem = issue(CertificateUse::server, {"hub", "10.1.2.3", "::1"});
  constexpr int kServer = X509_PURPOSE_SSL_SERVER;
  EXPECT_EQ(verdict(pem, authority_, kServer, kNow_s, "hub"), "ok");
  EXPECT_EQ(verdict(pem, authority_, kServer, kNow_s, nullptr, "10.1.2.3"), "ok");
  EXPECT_EQ(verdict(pem, authority_, kServer, kNow_s, nullptr, "::1"), "ok");
  EXPECT_THAT(verdict(pem, authority_, kServer, kNow_s, "other"), HasSubstr("hostname mismatch"));
  EXPECT_THAT(verdict(pem, authority_, kServer, kNow_s, nullptr, "10.1.2.4"), HasSubstr("IP address mismatch"));
  EXPECT_EQ(verdict(pem, authority_, kServer, kNow_s - 3599), "ok");
  EXPECT_THAT(verdict(pem, authority_, kServer, kNow_s - 3601), HasSubstr("not yet valid"));
  EXPECT_EQ(verdict(pem, authority_, kServer, kNow_s + 30 * kDay_s - 1), "ok");
  EXPECT_THAT(verdict(pem, authority_, kServer, kNow_s + 30 * kDay_s + 1), HasSubstr("expired"));
  EXPECT_NE(verdict(pem, authority_, X509_PURPOSE_SSL_CLIENT, kNow_s), "ok");
}

TEST_P(Certificates, AClientsIsForClientsAlone) {
  const auto pem = issue(CertificateUse::client, {});
  EXPECT_EQ(verdict(pem, authority_, X509_PURPOSE_SSL_CLIENT, kNow_s), "ok");
  EXPECT_NE(verdict(pem, authority_, X509_PURPOSE_SSL_SERVER, kNow_s), "ok");
  EXPECT_EQ(X509_check_ca(parsed(pem).get()), 0);
}

TEST_P(Certificates, AnotherAuthorityDoesNotStandForIt) {
  const auto other_key = PrivateKey::generate(GetParam());
  const auto other = make_authority(other_key, "Verge hub", kNow_s, 3650);
  EXPECT_NE(verdict(issue(CertificateUse::client, {}), other, X509_PURPOSE_SSL_CLIENT, kNow_s), "ok");
  const auto refused = issue_certificate({}, key_.public_key(), authority_, other_key);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "VRG-CRY-003");
  EXPECT_THAT(refused.error().message(), HasSubstr("another key"));
}

TEST_P(Certificates, OnlyAnAuthorityIssues) {
  const auto pem = issue(CertificateUse::server, {"hub"});
  const auto refused = issue_certificate({}, key_.public_key(), pem, key_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "VRG-CRY-003");
  EXPECT_THAT(refused.error().message(), HasSubstr("may not issue"));
  EXPECT_EQ(issue_certificate({}, key_.public_key(), "none", key_).error().id(), "VRG-CRY-003");
}

TEST_P(Certificates, CarryWhatTheStandardAsksFor) {
  const auto authority = parsed(authority_);
  EXPECT_EQ(X509_get_key_usage(authority.get()), static_cast<unsigned>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  EXPECT_EQ(X509_get_pathlen(authority.get()), 0);
  EXPECT_EQ(X509_get_version(authority.get()), 2);
  ASSERT_NE(X509_get0_subject_key_id(authority.get()), nullptr);
  const auto leaf = parsed(issue(CertificateUse::server, {"hub"}));
  EXPECT_EQ(X509_get_key_usage(leaf.get()), static_cast<unsigned>(KU_DIGITAL_SIGNATURE));
  EXPECT_EQ(X509_get_extended_key_usage(leaf.get()), static_cast<unsigned>(XKU_SSL_SERVER));
  EXPECT_EQ(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(leaf.get()), X509_get0_subject_key_id(authority.get())),
            0);
  EXPECT_GE(X509_get_ext_by_NID(leaf.get(), NID_basic_constraints, -1), 0);
  const auto other = parsed(issue(CertificateUse::server, {"hub"}));
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(leaf.get()), X509_get0_serialNumber(other.get())), 0);
}

TEST_P(Certificates, AreReadBack) {
  const auto info = read_certificate(issue(CertificateUse::server, {"hub", "10.1.2.3", "fe80::1"}));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->common_name, "device 1");
  EXPECT_THAT(info->names, ElementsAre("hub", "10.1.2.3", "fe80::1"));
  EXPECT_EQ(info->not_before_s, kNow_s - 3600);
  EXPECT_EQ(info->not_after_s, kNow_s + 30 * kDay_s);
  EXPECT_EQ(info->key_fingerprint, key_.public_key().fingerprint());
  const auto authority = read_certificate(authority_ + issue(CertificateUse::client, {}));
  ASSERT_TRUE(authority) << "the first of several";
  EXPECT_EQ(authority->common_name, "Verge hub");
  EXPECT_NE(authority->fingerprint, info->fingerprint);
}

TEST_P(Certificates, RequestsAreSignedByTheirKey) {
  const auto key = PrivateKey::generate(GetParam());
  const std::string name = "device-" + std::string(100, 'x') + ",CN=admin/ü";
  const auto pem = make_request(key, name);
  const auto request = read_request(pem);
  ASSERT_TRUE(request) << request.error().text();
  EXPECT_EQ(request->common_name, name) << "long names are not cut, odd ones do not end early";
  EXPECT_EQ(request->key.fingerprint(), key.public_key().fingerprint());
}

INSTANTIATE_TEST_SUITE_P(Kinds, Certificates, testing::Values(KeyKind::ed25519, KeyKind::ecdsa_p256, KeyKind::rsa));

TEST(CertificateText, WhatIsNoneIsRefused) {
  const auto key = PrivateKey::generate(KeyKind::ed25519);
  for (const std::string& pem : {std::string(), std::string("nothing"), key.pem(), std::string(2U << 20U, 'x'),
                                 std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}) {
    EXPECT_EQ(read_certificate(pem).error().id(), "VRG-CRY-003");
    EXPECT_EQ(read_request(pem).error().id(), "VRG-CRY-004");
  }
}

TEST(CertificateText, ARequestThatWasChangedIsRefused) {
  const auto key = PrivateKey::generate(KeyKind::ed25519);
  const std::string pem = make_request(key, "device-one");
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509_REQ* request = PEM_read_bio_X509_REQ(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  X509_NAME* name = X509_NAME_new();
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("device-two"), -1, -1,
                             0);
  X509_REQ_set_subject_name(request, name);
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_REQ(out, request);
  char* text = nullptr;
  const auto size = BIO_get_mem_data(out, &text);
  const auto refused = read_request(std::string(text, static_cast<std::size_t>(size)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "VRG-CRY-005");
  EXPECT_EQ(refused.error().code(), ErrorCode::unauthenticated);
  BIO_free(out);
  X509_NAME_free(name);
  X509_REQ_free(request);
}

}  // namespace
}  // namespace verge::crypto
