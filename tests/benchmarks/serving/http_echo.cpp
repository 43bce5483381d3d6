// The bare echo: Beast, asynchronous, one thread; what came goes back. `bench_http_echo PORT` or `bench_http_echo
// PATH`.
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

template <typename Socket>
class Session : public std::enable_shared_from_this<Session<Socket>> {
 public:
  explicit Session(Socket socket) : socket_(std::move(socket)) {}
  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_, [self = this->shared_from_this()](auto error, std::size_t) {
      if (!error) self->write();
    });
  }

 private:
  void write() {
    response_ = {http::status::ok, 11};
    response_.set(http::field::content_type, "application/octet-stream");
    response_.body() = std::move(request_.body());
    response_.prepare_payload();
    http::async_write(socket_, response_, [self = this->shared_from_this()](auto error, std::size_t) {
      if (!error) self->read();
    });
  }
  Socket socket_;
  boost::beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> response_;
};

template <typename Protocol>
void accept(typename Protocol::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](auto error, typename Protocol::socket socket) {
    if (error) return;
    if constexpr (std::is_same_v<Protocol, asio::ip::tcp>) socket.set_option(asio::ip::tcp::no_delay(true));
    std::make_shared<Session<typename Protocol::socket>>(std::move(socket))->read();
    accept<Protocol>(acceptor);
  });
}

template <typename Protocol>
void serve(const typename Protocol::endpoint& endpoint) {
  asio::io_context io(1);
  typename Protocol::acceptor acceptor(io, endpoint);
  accept<Protocol>(acceptor);
  std::puts("ready");
  std::fflush(stdout);
  io.run();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string where = argv[1];
  if (std::isdigit(static_cast<unsigned char>(where[0])) != 0) {
    serve<asio::ip::tcp>({asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(std::stoi(where))});
  } else {
    serve<asio::local::stream_protocol>({where});
  }
}
