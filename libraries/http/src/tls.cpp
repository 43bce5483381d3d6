#include "tls.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace verge::http {
namespace {

namespace ssl = boost::asio::ssl;

Error unusable(std::string_view what, const boost::system::error_code& error) {
  return Error(ErrorCode::invalid_argument, "VRG-HTT-003",
               fmt::format("expected PEM for the server's {}, got what OpenSSL refuses: {}", what, error.message()));
}

boost::asio::const_buffer buffer(const std::string& text) {
  return {text.data(), text.size()};
}

}  // namespace

Result<std::unique_ptr<ssl::context>> make_context(const Tls& tls) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  // Sessions are not resumed: a client's certificate is judged anew each time.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  boost::system::error_code error;
  context->use_certificate_chain(buffer(tls.certificate), error);
  if (error) return unusable("certificate", error);
  context->use_private_key(buffer(tls.key), ssl::context::pem, error);
  if (error) return unusable("key", error);
  if (SSL_CTX_check_private_key(native) != 1) {
    ERR_clear_error();
    return Error(ErrorCode::invalid_argument, "VRG-HTT-003",
                 "the server's key does not belong to its certificate; give the two that were made together");
  }
  if (tls.client_authority.empty()) return context;
  context->add_certificate_authority(buffer(tls.client_authority), error);
  if (error) return unusable("clients' authority", error);
  context->set_verify_mode(ssl::verify_peer);  // Whoever shows no certificate is served: handlers judge.
  BIO* bio = BIO_new_mem_buf(tls.client_authority.data(), static_cast<int>(tls.client_authority.size()));
  if (X509* authority = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr); authority != nullptr) {
    SSL_CTX_add_client_CA(native, authority);
    X509_free(authority);
  }
  BIO_free(bio);
  return context;
}

std::string client_certificate(SSL* connection) {
  X509* certificate = SSL_get1_peer_certificate(connection);
  if (certificate == nullptr) return {};
  BIO* bio = BIO_new(BIO_s_mem());
  std::string text;
  if (PEM_write_bio_X509(bio, certificate) == 1) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    text.assign(data, static_cast<std::size_t>(size));
  }
  BIO_free(bio);
  X509_free(certificate);
  return text;
}

}  // namespace verge::http
