#include "tls_server.hpp"

#include <csignal>
#include <memory>
#include <stdexcept>

#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

namespace verge::http_client {
namespace {

void must(bool done) {
  if (!done) throw std::runtime_error("the test's TLS server cannot be set up");
}

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;
Bio reader_of(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

/// Whether head and body are there.
bool is_whole(const std::string& request) {
  const auto end = request.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const auto length = request.find("Content-Length: ");
  if (length == std::string::npos || length > end) return true;
  return request.size() >= end + 4 + std::stoul(request.substr(length + 16));
}

}  // namespace

TlsServer::TlsServer(const TlsServerOptions& options, Handler handler)
    : handler_(std::move(handler)), context_(SSL_CTX_new(TLS_server_method())) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto certificates = reader_of(options.certificates);
  X509* own = PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr);
  must(SSL_CTX_use_certificate(context_, own) == 1);
  X509_free(own);
  while (X509* other = PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr)) {
    must(SSL_CTX_add_extra_chain_cert(context_, other) == 1);
  }
  EVP_PKEY* key = PEM_read_bio_PrivateKey(reader_of(options.key).get(), nullptr, nullptr, nullptr);
  must(SSL_CTX_use_PrivateKey(context_, key) == 1);
  EVP_PKEY_free(key);
  if (!options.client_authority.empty()) {
    X509* authority = PEM_read_bio_X509(reader_of(options.client_authority).get(), nullptr, nullptr, nullptr);
    must(X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), authority) == 1);
    X509_free(authority);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  must(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listener_, 16) == 0);
  must(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept(); });
}

TlsServer::~TlsServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (auto& thread : threads_) thread.join();
  for (const int socket : sockets_) ::close(socket);
  ::close(listener_);
  SSL_CTX_free(context_);
}

void TlsServer::accept() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    ++connections_;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket] { serve(socket); });
  }
}

void TlsServer::serve(int socket) {
  const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context_), SSL_free);
  SSL_set_fd(ssl.get(), socket);
  if (SSL_accept(ssl.get()) == 1) {
    std::string request;
    std::array<char, 4096> piece{};
    for (;;) {
      const int got = SSL_read(ssl.get(), piece.data(), static_cast<int>(piece.size()));
      if (got <= 0) break;
      request.append(piece.data(), static_cast<std::size_t>(got));
      if (!is_whole(request)) continue;
      const std::string answer = handler_(request);
      request.clear();
      if (!answer.empty()) SSL_write(ssl.get(), answer.data(), static_cast<int>(answer.size()));
      if (answer.empty() || answer.find("Connection: close") != std::string::npos) break;
    }
    SSL_shutdown(ssl.get());
  }
  ::shutdown(socket, SHUT_WR);
  // Until the client has read it all: closing with unread bytes would cut off what we sent.
  std::array<char, 4096> rest{};
  while (::read(socket, rest.data(), rest.size()) > 0) {
  }
}

}  // namespace verge::http_client
