// TLS: what is checked of the certificates, ours before use and the server's while OpenSSL verifies them.
#pragma once

#include <string>

#include <openssl/ssl.h>

#include "verge/http_client/client.hpp"

namespace verge::http_client {

/// Why the server's certificate was refused, with its dates when they are the reason; empty while it was not.
struct CertificateNote {
  std::string text;
};

/// Errors: invalid_argument (VRG-HTC-008).
Result<void> check_pem(const ClientOptions& options);
/// Lets OpenSSL note in `note`, which must outlive the context, what it finds wrong.
void watch_certificates(SSL_CTX* context, CertificateNote* note, bool check_validity_dates);

}  // namespace verge::http_client
