#include "verge/http/server.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

namespace verge::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

/// Sends bytes as they are and gives what comes back until the server closes, or `until` was seen.
std::string exchange(std::uint16_t port, const std::string& sent, const std::string& until = "") {
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect({asio::ip::make_address("127.0.0.1"), port});
  boost::system::error_code error;
  asio::write(socket, asio::buffer(sent), error);
  std::string got;
  std::array<char, 4096> piece{};
  while (!error && (until.empty() || got.find(until) == std::string::npos)) {
    const auto size = socket.read_some(asio::buffer(piece), error);
    got.append(piece.data(), size);
  }
  return got;
}

Response echo(const Request& request) {
  if (request.path == "/throw") throw std::runtime_error("a \"defect\"");
  if (request.path == "/slow") std::this_thread::sleep_for(std::chrono::milliseconds(300));
  Response response;
  response.content_type = "text/plain";
  response.headers.emplace_back("X-Query", std::string(request.query));
  response.body = std::string(request.method) + " " + std::string(request.path) + " " +
                  std::string(request.header("x-test")) + " " +
                  std::string(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  return response;
}

class Http : public testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options;
    options.max_body_bytes = 100;
    options.max_connections = 4;
    options.idle_timeout = std::chrono::seconds(1);
    server_ = std::move(*Server::start(options, echo));
  }
  std::string get(const std::string& target) const {
    return exchange(server_->port(),
                    "GET " + target + " HTTP/1.1\r\nHost: x\r\nX-Test: t\r\nConnection: close\r\n\r\n");
  }
  std::unique_ptr<Server> server_;
};

TEST_F(Http, AnswersAndKeepsTheConnection) {
  EXPECT_THAT(get("/a?b=c"), HasSubstr("GET /a t "));
  EXPECT_THAT(get("/a?b=c"), HasSubstr("X-Query: b=c"));
  const auto two = exchange(server_->port(),
                            "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcPOST /2 HTTP/1.1\r\nHost: x\r\n"
                            "Content-Length: 3\r\nConnection: close\r\n\r\ndef");
  EXPECT_THAT(two, HasSubstr("POST /1  abc"));
  EXPECT_THAT(two, HasSubstr("POST /2  def"));
}

TEST_F(Http, ReadsChunkedBodiesAndSays100Continue) {
  EXPECT_THAT(exchange(server_->port(),
                       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                       "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
              HasSubstr("POST /  abcde"));
  const auto answer = exchange(
      server_->port(),
      "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 100 Continue"));
  EXPECT_THAT(answer, HasSubstr("abc"));
}

TEST_F(Http, RefusesWhatIsTooLargeWithoutReadingIt) {
  const auto declared = exchange(server_->port(), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n");
  EXPECT_THAT(declared, StartsWith("HTTP/1.1 413"));
  std::string chunks = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 30; ++i) chunks += "8\r\n12345678\r\n";
  EXPECT_THAT(exchange(server_->port(), chunks), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(exchange(server_->port(), "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
}

TEST_F(Http, RefusesWhatIsNotHttp) {
  EXPECT_THAT(exchange(server_->port(), "\x16\x03\x01 this is TLS\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(get("/"), HasSubstr("200 OK")) << "and goes on";
}

TEST_F(Http, AHandlerThatThrowsIs500) {
  const auto answer = get("/throw");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(answer, HasSubstr(R"({"error":"internal error: a \"defect\""})"));
}

TEST_F(Http, IdleAndSlowClientsAreCut) {
  const auto start = std::chrono::steady_clock::now();
  exchange(server_->port(), "POST / HTTP/1.1\r\nContent-Le");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST_F(Http, TooManyConnectionsAreTurnedAway) {
  asio::io_context io;
  std::vector<tcp::socket> open;
  for (int i = 0; i < 4; ++i) {
    open.emplace_back(io);
    open.back().connect({asio::ip::make_address("127.0.0.1"), server_->port()});
  }
  EXPECT_THAT(get("/"), StartsWith("HTTP/1.1 503"));
}

TEST_F(Http, StopLetsRunningRequestsEnd) {
  std::string answer;
  std::thread client([&] { answer = get("/slow"); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  server_->stop(std::chrono::seconds(5));
  client.join();
  EXPECT_THAT(answer, HasSubstr("GET /slow"));
}

TEST(HttpStart, NamesWhatIsWrong) {
  ServerOptions options;
  options.address = "not an address";
  EXPECT_EQ(Server::start(options, echo).error().id(), "VRG-HTT-001");
  options.address = "127.0.0.1";
  const auto first = std::move(*Server::start(options, echo));
  options.port = first->port();
  const auto second = Server::start(options, echo);
  EXPECT_EQ(second.error().id(), "VRG-HTT-002");
  EXPECT_THAT(second.error().message(), HasSubstr("in use"));
}

TEST(Percent, DecodesOrRefuses) {
  std::string out;
  EXPECT_TRUE(decode_percent("a%20b%2Fc", out));
  EXPECT_EQ(out, "a b/c");
  for (const char* bad : {"%", "%2", "%zz", "a%00b"}) EXPECT_FALSE(decode_percent(bad, out)) << bad;
}

}  // namespace
}  // namespace verge::http
