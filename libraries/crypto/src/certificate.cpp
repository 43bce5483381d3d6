#include "verge/crypto/certificate.hpp"

#include <array>
#include <ctime>

#include <arpa/inet.h>
#include <fmt/format.h>

#include "openssl_owner.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::crypto {
namespace {

constexpr std::int64_t kClockSlack_s = 3600;  ///< Devices whose clock is a little behind take a new certificate.
constexpr std::int64_t kDay_s = 86'400;
constexpr int kSerialBits = 127;
constexpr long kVersion3 = 2;
constexpr std::size_t kPemLimitBytes = 1U << 20U;

Error not_a_certificate(std::string_view what) {
  return Error(ErrorCode::invalid_argument, "VRG-CRY-003",
               fmt::format("expected {} as PEM, got something else: {}", what, openssl_reason()));
}

Result<Owner<X509>> parse_certificate(std::string_view pem, std::string_view what) {
  if (pem.size() > kPemLimitBytes) return not_a_certificate(what);
  const auto bio = reader_of(pem);
  Owner<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
  if (certificate == nullptr || X509_get0_pubkey(certificate.get()) == nullptr) return not_a_certificate(what);
  ERR_clear_error();
  return certificate;
}

std::string utf8_of(const ASN1_STRING* string) {
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, string);
  const Owner<unsigned char> owner(text);
  ERR_clear_error();
  return size < 0 ? std::string() : std::string(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
}

std::string common_name_of(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  return at < 0 ? std::string() : utf8_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
}

/// Not limited to X.509's 64 characters: the names of two devices must never be cut to the same one.
Owner<X509_NAME> name_of(std::string_view common_name) {
  auto name = made(X509_NAME_new());
  must(X509_NAME_add_entry_by_NID(name.get(), NID_commonName, V_ASN1_UTF8STRING,
                                  reinterpret_cast<const unsigned char*>(common_name.data()),
                                  static_cast<int>(common_name.size()), -1, 0) == 1);
  return name;
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return timegm(&parts);
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int size = ASN1_STRING_length(address);
  if (size != 4 && size != 16) return {};
  inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), text.data(), text.size());
  return text.data();
}

std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> found;
  const Owner<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) found.push_back(utf8_of(name->d.dNSName));
    if (name->type == GEN_IPADD) found.push_back(address_text(name->d.iPAddress));
  }
  return found;
}

void add_names(X509* certificate, const std::vector<std::string>& names) {
  if (names.empty()) return;
  const auto list = made(GENERAL_NAMES_new());
  for (const auto& name : names) {
    GENERAL_NAME* entry = GENERAL_NAME_new();
    must(entry != nullptr && sk_GENERAL_NAME_push(list.get(), entry) > 0);
    if (ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str()); address != nullptr) {
      GENERAL_NAME_set0_value(entry, GEN_IPADD, address);
      continue;
    }
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    must(text != nullptr);
    GENERAL_NAME_set0_value(entry, GEN_DNS, text);
    must(ASN1_STRING_set(text, name.data(), static_cast<int>(name.size())) == 1);
  }
  ERR_clear_error();  // a2i_IPADDRESS() leaves an error behind for each DNS name.
  must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) == 1);
}

void add_extension(X509* certificate, X509V3_CTX* context, int kind, const char* value) {
  const auto extension = made(X509V3_EXT_conf_nid(nullptr, context, kind, value));
  must(X509_add_ext(certificate, extension.get(), -1) == 1);
}

/// A certificate without extensions and signature.
Owner<X509> begin(EVP_PKEY* key, const X509_NAME* subject, const X509_NAME* issuer, std::int64_t now_s, int days) {
  auto certificate = made(X509_new());
  const auto serial = made(BN_new());
  must(X509_set_version(certificate.get(), kVersion3) == 1);
  must(BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
  must(BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) != nullptr);
  must(ASN1_TIME_set(X509_getm_notBefore(certificate.get()), now_s - kClockSlack_s) != nullptr);
  must(ASN1_TIME_set(X509_getm_notAfter(certificate.get()), now_s + days * kDay_s) != nullptr);
  must(X509_set_subject_name(certificate.get(), subject) == 1);
  must(X509_set_issuer_name(certificate.get(), issuer) == 1);
  must(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

std::string sign(X509* certificate, const PrivateKey& key) {
  const EVP_MD* digest = KeyAccess::kind(key) == KeyKind::ed25519 ? nullptr : EVP_sha256();
  must(X509_sign(certificate, KeyAccess::of(key), digest) > 0);
  const auto bio = made(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return text_of(bio.get());
}

}  // namespace

Result<CertificateInfo> read_certificate(std::string_view pem) {
  VERGE_ASSIGN(const auto certificate, parse_certificate(pem, "a certificate"));
  CertificateInfo info;
  info.common_name = common_name_of(X509_get_subject_name(certificate.get()));
  info.names = names_of(certificate.get());
  info.not_before_s = seconds_of(X509_get0_notBefore(certificate.get()));
  info.not_after_s = seconds_of(X509_get0_notAfter(certificate.get()));
  info.key_fingerprint = fingerprint_of(X509_get0_pubkey(certificate.get()));
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  const Owner<unsigned char> owner(der);
  must(size > 0);
  info.fingerprint = sha256(std::as_bytes(std::span(der, static_cast<std::size_t>(size))));
  return info;
}

std::string make_authority(const PrivateKey& key, std::string_view common_name, std::int64_t now_s, int days) {
  const auto name = name_of(common_name);
  const auto certificate = begin(KeyAccess::of(key), name.get(), name.get(), now_s, days);
  X509V3_CTX context{};
  X509V3_set_ctx(&context, certificate.get(), certificate.get(), nullptr, nullptr, 0);
  add_extension(certificate.get(), &context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(certificate.get(), &context, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(certificate.get(), &context, NID_subject_key_identifier, "hash");
  add_extension(certificate.get(), &context, NID_authority_key_identifier, "keyid:always");
  return sign(certificate.get(), key);
}

Result<std::string> issue_certificate(const CertificateOrder& order, const PublicKey& key,
                                      std::string_view authority_pem, const PrivateKey& authority_key) {
  VERGE_ASSIGN(const auto authority, parse_certificate(authority_pem, "the authority's certificate"));
  if (X509_check_ca(authority.get()) == 0 ||
      X509_check_private_key(authority.get(), KeyAccess::of(authority_key)) != 1) {
    ERR_clear_error();
    return Error(ErrorCode::invalid_argument, "VRG-CRY-003",
                 fmt::format("expected the certificate of an authority and its key, got a certificate of '{}' that {}",
                             common_name_of(X509_get_subject_name(authority.get())),
                             X509_check_ca(authority.get()) == 0 ? "may not issue others" : "has another key"));
  }
  const auto subject = name_of(order.common_name);
  const auto certificate =
      begin(KeyAccess::of(key), subject.get(), X509_get_subject_name(authority.get()), order.now_s, order.days);
  X509V3_CTX context{};
  X509V3_set_ctx(&context, authority.get(), certificate.get(), nullptr, nullptr, 0);
  add_extension(certificate.get(), &context, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate.get(), &context, NID_key_usage, "critical,digitalSignature");
  add_extension(certificate.get(), &context, NID_ext_key_usage,
                order.use == CertificateUse::server ? "serverAuth" : "clientAuth");
  add_extension(certificate.get(), &context, NID_subject_key_identifier, "hash");
  add_extension(certificate.get(), &context, NID_authority_key_identifier, "keyid");
  add_names(certificate.get(), order.names);
  return sign(certificate.get(), authority_key);
}

std::string make_request(const PrivateKey& key, std::string_view common_name) {
  const auto request = made(X509_REQ_new());
  const auto name = name_of(common_name);
  must(X509_REQ_set_version(request.get(), 0) == 1);
  must(X509_REQ_set_subject_name(request.get(), name.get()) == 1);
  must(X509_REQ_set_pubkey(request.get(), KeyAccess::of(key)) == 1);
  const EVP_MD* digest = KeyAccess::kind(key) == KeyKind::ed25519 ? nullptr : EVP_sha256();
  must(X509_REQ_sign(request.get(), KeyAccess::of(key), digest) > 0);
  const auto bio = made(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1);
  return text_of(bio.get());
}

Result<CertificateRequestInfo> read_request(std::string_view pem) {
  const auto bio = reader_of(pem.substr(0, kPemLimitBytes));
  const Owner<X509_REQ> request(PEM_read_bio_X509_REQ(bio.get(), nullptr, no_password, nullptr));
  Owner<EVP_PKEY> carried(request == nullptr ? nullptr : X509_REQ_get_pubkey(request.get()));
  if (carried == nullptr) {
    return Error(
        ErrorCode::invalid_argument, "VRG-CRY-004",
        fmt::format("expected a certificate signing request as PEM, got something else: {}", openssl_reason()));
  }
  const bool valid = X509_REQ_verify(request.get(), carried.get()) == 1;
  ERR_clear_error();
  std::string common_name = common_name_of(X509_REQ_get_subject_name(request.get()));
  if (!valid) {
    return Error(ErrorCode::unauthenticated, "VRG-CRY-005",
                 fmt::format("the certificate request for '{}' is not signed by the key it carries; make a new one",
                             common_name));
  }
  VERGE_ASSIGN(PublicKey key, KeyAccess::make(std::move(carried)));
  return CertificateRequestInfo{std::move(common_name), std::move(key)};
}

}  // namespace verge::crypto
