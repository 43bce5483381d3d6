// Handover: a listening socket that outlives its server, so that nobody is turned away between two.
#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

#include "socket_keeper.hpp"
#include "verge/base/file.hpp"
#include "verge/http/server.hpp"

namespace verge::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;

constexpr std::string_view kAsk = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

Handler answers(const std::string& text) {
  return [text](const Request&) {
    Response response;
    response.body = text;
    return response;
  };
}

template <typename Stream>
std::string read_answer(Stream& stream, const std::string& until) {
  std::string got;
  std::array<char, 4096> piece{};
  boost::system::error_code error;
  while (!error && got.find(until) == std::string::npos) {
    got.append(piece.data(), stream.read_some(asio::buffer(piece), error));
  }
  return got;
}

class Handover : public testing::Test {
 protected:
  ServerOptions options() {
    ServerOptions options;
    options.kept = keeper_.kept();
    options.unix_socket = folder_.path() / "socket";
    options.keep = [this](int socket, bool) { return keeper_.keep(socket); };
    return options;
  }
  void hand_over() { keeper_.hand_over(); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-handover-"));
  test::SocketKeeper keeper_;
  asio::io_context io_;
};

TEST_F(Handover, WhoComesBetweenTwoServersIsAnsweredByTheSecond) {
  auto first = std::move(*Server::start(options(), answers("first")));
  const tcp::endpoint place(asio::ip::make_address("127.0.0.1"), first->port());
  first->stop(std::chrono::seconds(1));
  first.reset();
  tcp::socket between(io_);
  between.connect(place);
  asio::write(between, asio::buffer(kAsk));
  asio::local::stream_protocol::socket local(io_);
  local.connect({(folder_.path() / "socket").string()});
  asio::write(local, asio::buffer(kAsk));
  hand_over();
  const auto second = std::move(*Server::start(options(), answers("second")));
  EXPECT_EQ(second->port(), place.port()) << "any port is asked for: the one that is there";
  EXPECT_THAT(read_answer(between, "second"), HasSubstr("second"));
  EXPECT_THAT(read_answer(local, "second"), HasSubstr("second"));
}

TEST_F(Handover, WhoIsConnectedAsksOnceMoreAndIsToldToComeAgain) {
  auto first = std::move(*Server::start(options(), answers("first")));
  tcp::socket client(io_);
  client.connect({asio::ip::make_address("127.0.0.1"), first->port()});
  asio::write(client, asio::buffer(kAsk));
  EXPECT_THAT(read_answer(client, "first"), testing::Not(HasSubstr("Connection: close")));
  std::thread ending([&] { first->stop(std::chrono::seconds(1)); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  asio::write(client, asio::buffer(kAsk));
  EXPECT_THAT(read_answer(client, "first"), HasSubstr("Connection: close"));
  ending.join();
}

TEST_F(Handover, ASocketForAnotherAddressIsLeftAlone) {
  auto first = std::move(*Server::start(options(), answers("first")));
  const auto port = first->port();
  hand_over();
  auto elsewhere = options();
  elsewhere.address = "127.0.0.2";
  elsewhere.unix_socket.clear();
  const auto second = std::move(*Server::start(elsewhere, answers("second")));
  EXPECT_NE(second->port(), port);
  auto taken = options();
  taken.kept.clear();
  taken.port = port;
  EXPECT_EQ(Server::start(taken, answers("third")).error().id(), "VRG-HTT-002");
}

}  // namespace
}  // namespace verge::http
