// Connections: requests in a row, Unix sockets, attached answers, newer certificates.
#include <sys/stat.h>

#include <atomic>
#include <ctime>
#include <thread>

#include <gmock/gmock.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "verge/base/file.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/http/server.hpp"

namespace verge::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

template <typename Stream>
std::string rest_of(Stream& stream) {
  std::string got;
  std::array<char, 65536> piece{};
  boost::system::error_code error;
  while (!error) got.append(piece.data(), stream.read_some(asio::buffer(piece), error));
  return got;
}

std::string exchange(std::uint16_t port, const std::string& text) {
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect({asio::ip::make_address("127.0.0.1"), port});
  boost::system::error_code error;
  asio::write(socket, asio::buffer(text), error);
  return rest_of(socket);
}

Response echo(const Request& request) {
  Response response;
  response.body = std::string(request.path) + " " + std::string(request.remote_address) + " " +
                  std::to_string(request.body.size()) + "\n";
  return response;
}

TEST(Connections, AThousandRequestsInARowAreAnsweredInTheirOrder) {
  const auto server = std::move(*Server::start({}, echo));
  std::string all;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const auto size = static_cast<std::size_t>(i) % 50;
    all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) +
           "\r\n\r\n" + std::string(size, 'x');
    expected += "/" + std::to_string(i) + " 127.0.0.1 " + std::to_string(size) + "\n";
  }
  const auto got = exchange(server->port(), all + "GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string bodies;
  for (std::size_t at = 0; (at = got.find("\r\n\r\n", at)) != std::string::npos;) {
    at += 4;
    bodies += got.substr(at, got.find('\n', at) + 1 - at);
  }
  EXPECT_EQ(bodies, expected + "/end 127.0.0.1 0\n");
}

TEST(Connections, OldClientsAreKeptWhenTheyAsk) {
  const auto server = std::move(*Server::start({}, echo));
  EXPECT_THAT(exchange(server->port(), "GET /a HTTP/1.0\r\n\r\n"), HasSubstr("Connection: close\r\n"));
  const auto two = exchange(server->port(), "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n");
  EXPECT_THAT(two, HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_THAT(two, HasSubstr("/b 127.0.0.1"));
}

TEST(Connections, ARefusalReachesAClientThatStillSends) {
  ServerOptions options;
  options.max_body_bytes = 10;
  const auto server = std::move(*Server::start(options, echo));
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(exchange(server->port(),
                         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + std::string(300'000, 'x')),
                StartsWith("HTTP/1.1 413"));
  }
}

TEST(Connections, ManyClientsAtOnceOnFewThreads) {
  ServerOptions options;
  options.threads = 3;
  const auto server = std::move(*Server::start(options, echo));
  std::atomic<int> right{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      asio::io_context io;
      tcp::socket socket(io);
      socket.connect({asio::ip::make_address("127.0.0.1"), server->port()});
      for (int i = 0; i < 200; ++i) {
        const auto body = std::string(static_cast<std::size_t>(i) * 997 % 200'000, 'x');
        asio::write(socket, asio::buffer("POST /" + std::to_string(c) + " HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                                         std::to_string(body.size()) + "\r\n\r\n" + body));
        std::string got;
        std::array<char, 4096> piece{};
        while (!got.ends_with("\n") || got.find("\r\n\r\n") == std::string::npos || got.ends_with("\r\n\r\n")) {
          got.append(piece.data(), socket.read_some(asio::buffer(piece)));
        }
        if (got.ends_with("/" + std::to_string(c) + " 127.0.0.1 " + std::to_string(body.size()) + "\n")) ++right;
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(right, 1600);
}

TEST(Attached, IsSentBehindTheBodyAndLetGoBeforeASlowClientHasIt) {
  constexpr std::size_t kSize = 20'000'000;
  const auto content = std::make_shared<std::string>(kSize, 'a');
  std::weak_ptr<std::string> still_kept;
  const auto server = std::move(*Server::start({}, [&](const Request&) {
    Response response;
    response.body = "head ";
    const auto mine = std::make_shared<std::string>(*content);
    still_kept = mine;
    const auto bytes = std::as_bytes(std::span(*mine));
    response.attached = {bytes.first(5), bytes.subspan(5)};
    response.keep = mine;
    return response;
  }));
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect({asio::ip::make_address("127.0.0.1"), server->port()});
  asio::write(socket, asio::buffer("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  std::array<char, 1> first{};
  socket.read_some(asio::buffer(first));  // It has begun; the rest is not read yet.
  for (int i = 0; i < 500 && !still_kept.expired(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(still_kept.expired());
  const auto got = rest_of(socket);
  EXPECT_THAT(got.substr(0, 300), HasSubstr("Content-Length: 20000005\r\n"));
  EXPECT_EQ(got.substr(got.find("\r\n\r\n") + 4), "head " + *content);
}

TEST(UnixSocket, ServesBesideTcpAndReplacesAStaleOne) {
  const auto folder = std::move(*TemporaryFolder::create("unix"));
  ServerOptions options;
  options.unix_socket = folder.path() / "socket";
  {
    asio::io_context io;
    asio::local::stream_protocol::acceptor stale(io, options.unix_socket.string());
  }
  ASSERT_TRUE(std::filesystem::exists(options.unix_socket));
  const auto server = std::move(*Server::start(options, echo));
  struct stat status {};
  ASSERT_EQ(::stat(options.unix_socket.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0660U);
  asio::io_context io;
  asio::local::stream_protocol::socket socket(io);
  socket.connect(options.unix_socket.string());
  asio::write(socket, asio::buffer("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(rest_of(socket), HasSubstr("/a unix 0"));
  EXPECT_THAT(exchange(server->port(), "GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              HasSubstr("/b 127.0.0.1"));
  const auto second = Server::start(options, echo);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().id(), "VRG-HTT-002");
  server->stop(std::chrono::seconds(1));
  EXPECT_FALSE(std::filesystem::exists(options.unix_socket));
  options.unix_socket = folder.path() / std::string(200, 'x');
  EXPECT_EQ(Server::start(options, echo).error().id(), "VRG-HTT-001");
}

TEST(Certificates, NewOnesAreForNewClientsAndTheOldStay) {
  const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  const auto make = [&](const std::string& name) {
    return Tls{crypto::make_authority(key, name, std::time(nullptr), 5), key.pem(), ""};
  };
  ServerOptions options;
  options.tls = make("first");
  const auto server = std::move(*Server::start(options, echo));
  asio::ssl::context context(asio::ssl::context::tls_client);
  using Stream = asio::ssl::stream<tcp::socket>;
  asio::io_context io;
  const auto connect = [&] {
    auto stream = std::make_unique<Stream>(io, context);
    stream->next_layer().connect({asio::ip::make_address("127.0.0.1"), server->port()});
    stream->handshake(asio::ssl::stream_base::client);
    return stream;
  };
  const auto name_of = [](Stream& stream) {
    X509* certificate = SSL_get1_peer_certificate(stream.native_handle());
    std::array<char, 64> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(), name.size());
    X509_free(certificate);
    return std::string(name.data());
  };
  const auto early = connect();
  EXPECT_EQ(name_of(*early), "first");
  EXPECT_EQ(server->renew({"broken", key.pem(), ""}).error().id(), "VRG-HTT-003");
  EXPECT_EQ(name_of(*connect()), "first");
  ASSERT_TRUE(server->renew(make("second")));
  EXPECT_EQ(name_of(*connect()), "second");
  asio::write(*early, asio::buffer(std::string("GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")));
  EXPECT_THAT(rest_of(*early), HasSubstr("/early 127.0.0.1"));
}

}  // namespace
}  // namespace verge::http
