// Connection: requests of one client, one after the other.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "verge/http/server.hpp"

namespace verge::http {

class Connection;

/// What all connections of a server share. Used by the socket thread only, but for the atomics.
struct Shared {
  ServerOptions options;
  Handler handler;
  std::set<Connection*> connections;  ///< Before `io`, whose end destroys the last of them.
  boost::asio::io_context io{1};
  boost::asio::thread_pool pool;
  std::atomic<std::size_t> in_flight{0};  ///< Requests that a handler has, or whose answer is on its way.
  std::atomic<bool> stopping{false};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  explicit Shared(const ServerOptions& o, Handler h) : options(o), handler(std::move(h)), pool(o.handler_threads) {}
};

/// Lives as long as one of its operations is under way. All but handle() runs on the socket thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, Shared& shared);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void read();
  /// Answers 503 and closes.
  void refuse();
  /// Whether no request is being handled or answered.
  [[nodiscard]] bool idle() const noexcept { return !busy_; }
  void close();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::vector_body<std::byte>>;
  void on_header(boost::beast::error_code error);
  void read_body();
  void on_body(boost::beast::error_code error);
  void handle(std::shared_ptr<Connection> self);
  void answer(Response response, bool keep_alive);
  void answer_error(int status, std::string_view message);
  void finish_request();

  boost::beast::tcp_stream stream_;
  Shared& shared_;
  bool busy_ = false;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  boost::beast::http::response<boost::beast::http::string_body> response_;
  boost::beast::http::response<boost::beast::http::empty_body> go_on_;
};

}  // namespace verge::http
