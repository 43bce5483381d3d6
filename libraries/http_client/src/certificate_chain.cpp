#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "transfer.hpp"

namespace verge::http_client {
namespace {

using Chain = std::vector<std::string>;

std::string pem_of(X509* certificate) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  char* text = nullptr;
  if (bio == nullptr || PEM_write_bio_X509(bio.get(), certificate) != 1) throw std::bad_alloc();
  const auto size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

/// Stands in for OpenSSL's verification: keeps what came, so that a handshake that fails later gives it all the same.
int keep_chain(X509_STORE_CTX* store, void* chain) {
  const STACK_OF(X509)* shown = X509_STORE_CTX_get0_untrusted(store);
  auto* kept = static_cast<Chain*>(chain);
  kept->clear();
  for (int i = 0; i < sk_X509_num(shown); ++i) kept->push_back(pem_of(sk_X509_value(shown, i)));
  return 1;
}

CURLcode set_up(CURL*, void* context, void* chain) {
  SSL_CTX_set_cert_verify_callback(static_cast<SSL_CTX*>(context), keep_chain, chain);
  return CURLE_OK;
}

}  // namespace

Result<std::vector<std::string>> certificate_chain(const std::string& base_url, std::chrono::milliseconds timeout) {
  VERGE_ASSIGN(const auto url, parse_url(base_url));
  if (!base_url.starts_with("https://")) {
    return Error(ErrorCode::invalid_argument, "VRG-HTC-008",
                 fmt::format("expected a URL with https, whose server has a certificate, got '{}'", base_url));
  }
  Chain chain;
  Transfer transfer;
  CURL* easy = transfer.begin(base_url);
  curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, set_up);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, &chain);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(timeout.count()));
  if (is_loopback(host_of(url.get()))) curl_easy_setopt(easy, CURLOPT_PROXY, "");
  const auto done = transfer.run({timeout, false}, {});
  if (!done && chain.empty()) return Error(done.error());
  return chain;
}

}  // namespace verge::http_client
