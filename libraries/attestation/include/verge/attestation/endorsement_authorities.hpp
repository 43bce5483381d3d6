// Endorsement authorities: those whose word counts that a TPM is a real one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/attestation/endorsement_key.hpp"
#include "verge/base/error.hpp"

namespace verge::attestation {

inline constexpr std::size_t kCertificateLimitBytes = 8192;
inline constexpr std::size_t kAuthoritiesLimitBytes = 1U << 20U;

/// An authority as people see it.
struct Authority {
  std::string name;         ///< Subject of its certificate.
  std::string fingerprint;  ///< "sha256:…" of the certificate in DER.
  std::int64_t until_s = 0;
};

/// What an authority says of an endorsement key.
struct Endorsement {
  std::string authority;     ///< Name of the one that was given.
  std::int64_t until_s = 0;  ///< When the first certificate on the way to it ends, in seconds since 1970.
};

/// Immutable; cheap to copy. Authorities are given as they are: an intermediate counts without its root.
class EndorsementAuthorities {
 public:
  /// `pem`: certificates, with any text between them; "": none. Errors: invalid_argument (VRG-ATT-011 one cannot be
  /// read, or may not issue others; there is text and no certificate).
  static Result<EndorsementAuthorities> read(std::string_view pem);

  [[nodiscard]] std::vector<Authority> list() const;
  [[nodiscard]] bool empty() const noexcept;
  /// `certificate`: X.509 in DER, as it lies in the TPM; what a TPM has behind it is passed over. Errors:
  /// invalid_argument (VRG-ATT-012 not a certificate), unauthenticated (VRG-ATT-013 it is about another key, or not
  /// for endorsement keys; 014 by none of these authorities, not valid at that time, or weak).
  [[nodiscard]] Result<Endorsement> check(const EndorsementKey& key, std::span<const std::byte> certificate,
                                          std::int64_t now_s) const;

 private:
  struct State;
  explicit EndorsementAuthorities(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace verge::attestation
