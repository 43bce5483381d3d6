#include "verge/attestation/endorsement_authorities.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include <fmt/format.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#include "openssl_owner.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::attestation {
namespace {

/// tcg-kp-EKCertificate.
constexpr std::string_view kForEndorsementKeys = "2.23.133.8.1";
/// OpenSSL's level of 112 bits: RSA of 2048, SHA-256.
constexpr int kSecurityLevel = 2;
constexpr std::size_t kNameLimitBytes = 256;

std::string reason() {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

/// In ASCII, whatever a foreign certificate has there.
std::string text_of(const X509_NAME* name) {
  const auto bio = made(BIO_new(BIO_s_mem()));
  (void)X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_ONELINE);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, std::min(static_cast<std::size_t>(size), kNameLimitBytes)};
}

std::int64_t end_of(const X509* certificate) {
  std::tm parts{};
  return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) == 1 ? timegm(&parts) : 0;
}

std::string fingerprint_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  must(size > 0);
  const Owner<unsigned char> owner(der);
  return crypto::sha256(std::as_bytes(std::span(der, static_cast<std::size_t>(size))));
}

/// A certificate that does not say what it is for, as some makers' are, is for this.
bool is_for_endorsement_keys(const X509* certificate) {
  int critical = 0;
  const Owner<EXTENDED_KEY_USAGE> usage(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(certificate, NID_ext_key_usage, &critical, nullptr)));
  ERR_clear_error();
  if (!usage) return critical == -1;  // -1: it is not there; else it cannot be read.
  for (int i = 0; i < sk_ASN1_OBJECT_num(usage.get()); ++i) {
    std::array<char, 80> text{};
    (void)OBJ_obj2txt(text.data(), text.size(), sk_ASN1_OBJECT_value(usage.get(), i), 1);
    if (text.data() == kForEndorsementKeys) return true;
  }
  return false;
}

Result<Owner<X509>> read_certificate(std::span<const std::byte> der) {
  const auto* at = bytes_of(der);
  Owner<X509> certificate(der.size() > kCertificateLimitBytes ? nullptr
                                                              : d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate || X509_get0_pubkey(certificate.get()) == nullptr) {
    return Error(ErrorCode::invalid_argument, "VRG-ATT-012",
                 fmt::format("expected the certificate of an endorsement key (X.509 in DER, at most {} bytes), got {} "
                             "other bytes: {}; look at what lies in the TPM: tpm2_getekcertificate",
                             kCertificateLimitBytes, der.size(), reason()));
  }
  ERR_clear_error();
  return certificate;
}

}  // namespace

struct EndorsementAuthorities::State {
  std::vector<Owner<X509>> certificates;
  Owner<X509_STORE> store;
};

Result<EndorsementAuthorities> EndorsementAuthorities::read(std::string_view pem) {
  const auto refused = [](std::size_t number, std::string_view got) {
    return Error(ErrorCode::invalid_argument, "VRG-ATT-011",
                 fmt::format("expected certificates of authorities as PEM, at most {} bytes, got as number {} {}; ask "
                             "the TPM's maker for them (DER becomes PEM by 'openssl x509 -inform der')",
                             kAuthoritiesLimitBytes, number, got));
  };
  if (pem.size() > kAuthoritiesLimitBytes) return refused(1, fmt::format("{} bytes", pem.size()));
  auto state = std::make_shared<State>();
  state->store = made(X509_STORE_new());
  const auto bio = made(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const auto no_password = [](char*, int, int, void*) { return -1; };
  while (true) {
    Owner<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    const auto number = state->certificates.size() + 1;
    if (!certificate) {
      const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      if (!at_end) return refused(number, reason());
      ERR_clear_error();
      if (number == 1 && !pem.empty()) return refused(number, "none");
      return EndorsementAuthorities(std::move(state));
    }
    if (X509_check_ca(certificate.get()) == 0) {
      return refused(number, "one that may not issue others, of " + text_of(X509_get_subject_name(certificate.get())));
    }
    must(X509_STORE_add_cert(state->store.get(), certificate.get()) == 1);
    state->certificates.push_back(std::move(certificate));
  }
}

bool EndorsementAuthorities::empty() const noexcept {
  return state_->certificates.empty();
}

std::vector<Authority> EndorsementAuthorities::list() const {
  std::vector<Authority> list;
  for (const auto& certificate : state_->certificates) {
    list.push_back({text_of(X509_get_subject_name(certificate.get())), fingerprint_of(certificate.get()),
                    end_of(certificate.get())});
  }
  return list;
}

Result<Endorsement> EndorsementAuthorities::check(const EndorsementKey& key, std::span<const std::byte> certificate,
                                                  std::int64_t now_s) const {
  VERGE_ASSIGN(const auto given, read_certificate(certificate));
  if (EVP_PKEY_eq(X509_get0_pubkey(given.get()), EndorsementAccess::key(key)) != 1) {
    ERR_clear_error();
    return Error(ErrorCode::unauthenticated, "VRG-ATT-013",
                 "the certificate is about another key than the endorsement key that the TPM has shown: it is another "
                 "TPM's, or about a kind of key that is not understood here");
  }
  if (!is_for_endorsement_keys(given.get())) {
    return Error(
        ErrorCode::unauthenticated, "VRG-ATT-013",
        fmt::format("expected a certificate for endorsement keys ({}), got one for another use", kForEndorsementKeys));
  }
  const auto context = made(X509_STORE_CTX_new());
  must(X509_STORE_CTX_init(context.get(), state_->store.get(), given.get(), nullptr) == 1);
  auto* const parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, now_s);
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  must(X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN) == 1);
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good) {
    return Error(
        ErrorCode::unauthenticated, "VRG-ATT-014",
        fmt::format("expected a certificate by one of {} authorities, got one by '{}': {}; where that maker is "
                    "to be trusted, name its authority, too: verge fleet policy authorities",
                    state_->certificates.size(), text_of(X509_get_issuer_name(given.get())),
                    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))));
  }
  const auto* const chain = X509_STORE_CTX_get0_chain(context.get());
  Endorsement endorsement;
  endorsement.until_s = end_of(given.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    endorsement.until_s = std::min(endorsement.until_s, end_of(sk_X509_value(chain, i)));
  }
  endorsement.authority = text_of(X509_get_subject_name(sk_X509_value(chain, sk_X509_num(chain) - 1)));
  return endorsement;
}

}  // namespace verge::attestation
