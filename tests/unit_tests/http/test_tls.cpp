// TLS: who is served, who is refused, what the handler learns.
#include <ctime>

#include <gmock/gmock.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "verge/crypto/certificate.hpp"
#include "verge/http/server.hpp"

namespace verge::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;

struct Authority {
  crypto::PrivateKey key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  std::string certificate = crypto::make_authority(key, "test authority", std::time(nullptr), 10);

  std::string issue(const crypto::PrivateKey& subject, const std::string& name, crypto::CertificateUse use,
                    std::int64_t now_s, int days) const {
    return *crypto::issue_certificate({name, {"127.0.0.1", "localhost"}, use, now_s, days}, subject.public_key(),
                                      certificate, key);
  }
};

class HttpTls : public testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options;
    const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
    options.tls = Tls{authority_.issue(key, "hub", crypto::CertificateUse::server, now_, 5) + authority_.certificate,
                      key.pem(), authority_.certificate};
    server_ = std::move(*Server::start(options, [](const Request& request) {
      Response response;
      const auto info = crypto::read_certificate(request.client_certificate);
      response.body = "client:" + (info ? info->common_name : "none") + " body:" + std::to_string(request.body.size());
      return response;
    }));
  }
  /// The answer, or "" when the handshake or what followed failed.
  std::string get(const std::string& certificate, const std::string& key, int max_version = TLS1_3_VERSION) const {
    asio::io_context io;
    asio::ssl::context context(asio::ssl::context::tls_client);
    SSL_CTX_set_max_proto_version(context.native_handle(), max_version);
    context.add_certificate_authority(asio::buffer(authority_.certificate));
    context.set_verify_mode(asio::ssl::verify_peer);
    if (!certificate.empty()) {
      context.use_certificate_chain(asio::buffer(certificate));
      context.use_private_key(asio::buffer(key), asio::ssl::context::pem);
    }
    asio::ssl::stream<tcp::socket> stream(io, context);
    stream.next_layer().connect({asio::ip::make_address("127.0.0.1"), server_->port()});
    boost::system::error_code error;
    stream.handshake(asio::ssl::stream_base::client, error);
    if (error) return "";
    asio::write(stream,
                asio::buffer("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n" +
                             std::string(200'000, 'x')),
                error);
    std::string got;
    std::array<char, 4096> piece{};
    while (!error) {
      const auto size = stream.read_some(asio::buffer(piece), error);
      got.append(piece.data(), size);
    }
    EXPECT_TRUE(got.empty() || error == asio::error::eof) << "ended without TLS's goodbye: " << error.message();
    return got;
  }

  std::int64_t now_ = std::time(nullptr);
  Authority authority_;
  crypto::PrivateKey device_ = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  std::unique_ptr<Server> server_;
};

TEST_F(HttpTls, ServesClientsWithoutACertificate) {
  EXPECT_THAT(get("", ""), HasSubstr("client:none body:200000"));
  EXPECT_THAT(get("", "", TLS1_2_VERSION), HasSubstr("client:none body:200000"));
  EXPECT_EQ(get("", "", TLS1_1_VERSION), "");
}

TEST_F(HttpTls, TellsTheHandlerWhoseCertificateItIs) {
  const auto certificate = authority_.issue(device_, "cam-1", crypto::CertificateUse::client, now_, 5);
  EXPECT_THAT(get(certificate, device_.pem()), HasSubstr("client:cam-1 body:200000"));
  EXPECT_THAT(get(certificate, device_.pem(), TLS1_2_VERSION), HasSubstr("client:cam-1"));
}

TEST_F(HttpTls, RefusesCertificatesOfOthersAndOldOnes) {
  const Authority other;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EXPECT_EQ(get(other.issue(device_, "cam-1", crypto::CertificateUse::client, now_, 5), device_.pem(), version), "");
    const auto expired = authority_.issue(device_, "cam-1", crypto::CertificateUse::client, now_ - 10 * 86400, 5);
    EXPECT_EQ(get(expired, device_.pem(), version), "");
  }
  EXPECT_THAT(get("", ""), HasSubstr("client:none")) << "and goes on";
}

TEST_F(HttpTls, NamesWhatCannotBeUsed) {
  ServerOptions options;
  const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  const auto certificate = authority_.issue(key, "hub", crypto::CertificateUse::server, now_, 5);
  const auto refused = [&](Tls tls) {
    options.tls = std::move(tls);
    const auto server = Server::start(options, [](const Request&) { return Response(); });
    return server ? std::string("started") : server.error().text();
  };
  EXPECT_THAT(refused({"no PEM", key.pem(), ""}), HasSubstr("server's certificate"));
  EXPECT_THAT(refused({certificate, "no PEM", ""}), HasSubstr("VRG-HTT-003"));
  EXPECT_THAT(refused({certificate, device_.pem(), ""}), HasSubstr("VRG-HTT-003"));
  EXPECT_THAT(refused({certificate, key.pem(), "no PEM"}), HasSubstr("clients' authority"));
}

}  // namespace
}  // namespace verge::http
