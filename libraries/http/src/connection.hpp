// Connection: requests of one client, one after the other.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "body_file.hpp"
#include "stream.hpp"
#include "verge/http/server.hpp"

namespace verge::http {

class Connection;
struct Shared;

/// The way back for held answers, which may come when the server has gone.
struct Gate {
  std::mutex mutex;
  Shared* shared = nullptr;  ///< Null once the server takes no more answers.
};

/// What all connections of a server share. Used by the socket thread only, but for the atomics and the gate.
struct Shared {
  ServerOptions options;
  Handler handler;
  std::unique_ptr<boost::asio::ssl::context> tls;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::set<Connection*> connections;           ///< Before `io`, whose end destroys the last of them.
  std::set<std::shared_ptr<Connection>> held;  ///< Those that wait for an answer without a thread.
  boost::asio::io_context io{1};
  boost::asio::thread_pool pool;
  std::atomic<std::size_t> in_flight{0};  ///< Requests that a handler has, or whose answer is on its way.
  std::atomic<bool> stopping{false};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  explicit Shared(const ServerOptions& o, Handler h) : options(o), handler(std::move(h)), pool(o.handler_threads) {
    gate->shared = this;
  }
};

/// Lives as long as one of its operations is under way, or its answer is held. All but handle() runs on the socket
/// thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, Shared& shared);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Shakes hands where there is TLS, then reads.
  void begin();
  /// Answers 503 and closes.
  void refuse();
  /// Whether no request is being handled or answered.
  [[nodiscard]] bool idle() const noexcept { return !busy_; }
  void close();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::vector_body<std::byte>>;
  using FileParser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
  void read();
  void on_header(boost::beast::error_code error);
  /// Whether the body is to be a file; false when the request has been refused.
  bool place_body();
  void read_body();
  void read_piece();
  void on_piece(boost::beast::error_code error);
  void on_body(boost::beast::error_code error);
  void run();
  void handle(std::shared_ptr<Connection> self);
  [[nodiscard]] Request make_request(const boost::beast::http::request_header<>& head) const;
  void hold(const std::function<void(std::function<void(Response)>)>& later, bool keep_alive);
  void watch_held();
  void answer(Response response, bool keep_alive);
  void send_file(bool keep_alive);
  void sent(boost::beast::error_code error, bool keep_alive);
  void answer_error(int status, std::string_view message);
  void finish_request();
  [[nodiscard]] const boost::beast::http::request_header<>& head() const;

  Stream stream_;
  Shared& shared_;
  bool busy_ = false;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::optional<FileParser> file_parser_;  ///< In place of parser_ when the body goes into a file.
  BodyFile body_file_;
  FilePiece piece_;  ///< Of an answer that is a file.
  std::string client_certificate_;
  std::string remote_address_;
  boost::beast::http::response<boost::beast::http::string_body> response_;
  boost::beast::http::response<boost::beast::http::empty_body> go_on_;
};

}  // namespace verge::http
