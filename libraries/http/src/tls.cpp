#include "tls.hpp"

#include <array>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace verge::http {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

Error unusable(std::string_view what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return Error(ErrorCode::invalid_argument, "VRG-HTT-003",
               fmt::format("expected PEM for the server's {}, got what OpenSSL refuses: {}", what, text.data()));
}

Bio bio_of(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

Certificate next_certificate(const Bio& bio) {
  return {PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free};
}

bool use_chain(SSL_CTX* context, const std::string& pem) {
  const Bio bio = bio_of(pem);
  const auto own = next_certificate(bio);
  if (own == nullptr || SSL_CTX_use_certificate(context, own.get()) != 1) return false;
  for (auto issuer = next_certificate(bio); issuer != nullptr; issuer = next_certificate(bio)) {
    if (SSL_CTX_add0_chain_cert(context, issuer.get()) != 1) return false;
    static_cast<void>(issuer.release());
  }
  ERR_clear_error();  // The end of the text is an error to OpenSSL.
  return true;
}

bool use_key(SSL_CTX* context, const std::string& pem) {
  const Bio bio = bio_of(pem);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(
          bio.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr),
      EVP_PKEY_free);
  return key != nullptr && SSL_CTX_use_PrivateKey(context, key.get()) == 1;
}

/// Whoever shows no certificate is served: handlers judge.
bool use_authority(SSL_CTX* context, const std::string& pem) {
  const Bio bio = bio_of(pem);
  bool any = false;
  for (auto authority = next_certificate(bio); authority != nullptr; authority = next_certificate(bio)) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1) return false;
    if (SSL_CTX_add_client_CA(context, authority.get()) != 1) return false;
    any = true;
  }
  if (!any) return false;
  ERR_clear_error();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return true;
}

}  // namespace

Result<std::shared_ptr<SSL_CTX>> make_context(const Tls& tls) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX* native = context.get();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  // Sessions are not resumed: a client's certificate is judged anew each time.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(native,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ERR_clear_error();
  if (!use_chain(native, tls.certificate)) return unusable("certificate");
  if (!use_key(native, tls.key)) {
    // A key of another certificate is refused by the setting of it already.
    return unusable("key, which must belong to its certificate");
  }
  if (!tls.client_authority.empty() && !use_authority(native, tls.client_authority)) {
    return unusable("clients' authority");
  }
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
