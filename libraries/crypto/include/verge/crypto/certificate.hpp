// Certificates: a small certificate authority (X.509) for hub and devices.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/crypto/key.hpp"

namespace verge::crypto {

/// What a certificate says. Times in seconds since 1970.
struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> names;  ///< DNS names and IP addresses it is valid for.
  std::int64_t not_before_s = 0;
  std::int64_t not_after_s = 0;
  std::string fingerprint;      ///< "sha256:…" of the certificate in DER.
  std::string key_fingerprint;  ///< PublicKey::fingerprint() of its key.
};

/// Errors: invalid_argument (VRG-CRY-003 not a certificate).
Result<CertificateInfo> read_certificate(std::string_view pem);

/// A self-signed authority, valid from an hour before `now_s` on for `days`.
[[nodiscard]] std::string make_authority(const PrivateKey& key, std::string_view common_name, std::int64_t now_s,
                                         int days);

enum class CertificateUse { server, client };

/// What to issue.
struct CertificateOrder {
  std::string common_name;
  std::vector<std::string> names;  ///< DNS names and IP addresses.
  CertificateUse use = CertificateUse::client;
  std::int64_t now_s = 0;  ///< Valid from an hour before.
  int days = 365;
};
/// A certificate for `key`, signed by the authority, with a random serial number. Errors: VRG-CRY-003 (the authority's
/// certificate).
Result<std::string> issue_certificate(const CertificateOrder& order, const PublicKey& key,
                                      std::string_view authority_pem, const PrivateKey& authority_key);

/// A certificate signing request for `common_name`, as PEM.
[[nodiscard]] std::string make_request(const PrivateKey& key, std::string_view common_name);
struct CertificateRequestInfo {
  std::string common_name;
  PublicKey key;
};
/// Checks that the request is signed by the key it carries. Errors: invalid_argument (VRG-CRY-004 not a request),
/// unauthenticated (VRG-CRY-005 not signed by its key).
Result<CertificateRequestInfo> read_request(std::string_view pem);

}  // namespace verge::crypto
