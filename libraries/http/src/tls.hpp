// TLS: certificates and keys of a server, made into a context.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "verge/http/server.hpp"

namespace verge::http {

/// Errors: invalid_argument (VRG-HTT-003).
Result<std::shared_ptr<SSL_CTX>> make_context(const Tls& tls);
/// The client's certificate as PEM; empty when it showed none.
std::string client_certificate(SSL* connection);

}  // namespace verge::http
