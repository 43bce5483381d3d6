#include "tls.hpp"

#include <ctime>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace verge::http_client {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

/// Stands in for the default, which asks the terminal for a password.
int no_password(char*, int, int, void*) {
  return -1;
}

std::unique_ptr<BIO, Free> reader_of(const std::string& text) {
  return std::unique_ptr<BIO, Free>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::unique_ptr<X509, Free> certificate_of(const std::string& pem) {
  return std::unique_ptr<X509, Free>(PEM_read_bio_X509(reader_of(pem).get(), nullptr, no_password, nullptr));
}

Error not_pem(std::string_view option, std::string_view wanted) {
  ERR_clear_error();
  return Error(ErrorCode::invalid_argument, "VRG-HTC-008",
               fmt::format("expected {} as PEM in '{}', got something else", wanted, option));
}

std::string date_text(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unknown date";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

std::string subject_of(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  unsigned char* text = nullptr;
  const int size = at < 0 ? -1 : ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  std::string name =
      size < 0 ? "without a name" : std::string(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return name;
}

int note_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

/// OpenSSL calls it for each certificate of the chain; it never changes the verdict.
int note_verdict(int accepted, X509_STORE_CTX* store) {
  if (accepted == 1) return 1;
  const auto* ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* note = static_cast<CertificateNote*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), note_index()));
  const int error = X509_STORE_CTX_get_error(store);
  const X509* certificate = X509_STORE_CTX_get_current_cert(store);
  const std::string reason = X509_verify_cert_error_string(error);
  if (certificate == nullptr) {
    note->text = reason;
    return 0;
  }
  const std::string subject = subject_of(certificate);
  const std::string from = date_text(X509_get0_notBefore(certificate));
  const std::string to = date_text(X509_get0_notAfter(certificate));
  const std::string now = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  if (error == X509_V_ERR_CERT_NOT_YET_VALID) {
    note->text = fmt::format("the certificate '{}' is not yet valid: from {} to {}, but this clock says {}", subject,
                             from, to, now);
  } else if (error == X509_V_ERR_CERT_HAS_EXPIRED) {
    note->text = fmt::format("the certificate '{}' has expired: valid from {} to {}, but this clock says {}", subject,
                             from, to, now);
  } else {
    note->text = fmt::format("the certificate '{}': {}", subject, reason);
  }
  return 0;
}

}  // namespace

Result<void> check_pem(const ClientOptions& options) {
  if (!options.ca_certificate.empty() && certificate_of(options.ca_certificate) == nullptr) {
    return not_pem("ca_certificate", "a certificate");
  }
  if (!options.proxy_ca_certificate.empty() && certificate_of(options.proxy_ca_certificate) == nullptr) {
    return not_pem("proxy_ca_certificate", "a certificate");
  }
  if (options.client_certificate.empty() && options.client_key.empty()) return {};
  const auto certificate = certificate_of(options.client_certificate);
  if (certificate == nullptr) return not_pem("client_certificate", "a certificate");
  const std::unique_ptr<EVP_PKEY, Free> key(
      PEM_read_bio_PrivateKey(reader_of(options.client_key).get(), nullptr, no_password, nullptr));
  if (key == nullptr) return not_pem("client_key", "a private key without a password");
  if (X509_check_private_key(certificate.get(), key.get()) != 1) return not_pem("client_key", "the certificate's key");
  ERR_clear_error();
  return {};
}

void watch_certificates(SSL_CTX* context, CertificateNote* note, bool check_validity_dates) {
  SSL_CTX_set_ex_data(context, note_index(), note);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, note_verdict);
  if (!check_validity_dates) X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_NO_CHECK_TIME);
}

}  // namespace verge::http_client
