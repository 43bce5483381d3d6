#include "connection.hpp"

#include <boost/asio/post.hpp>
#include <boost/beast/core/bind_handler.hpp>

namespace verge::http {
namespace beast = boost::beast;
namespace asio = boost::asio;

namespace {

constexpr std::uint32_t kHeaderLimitBytes = 64U << 10U;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

std::string error_body(std::string_view message) {
  std::string body = "{\"error\":\"";
  for (const char c : message) {
    if (c == '"' || c == '\\') body += '\\';
    body += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return body + "\"}";
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, Shared& shared) : stream_(std::move(socket)), shared_(shared) {
  shared_.connections.insert(this);
  boost::system::error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
}

Connection::~Connection() {
  shared_.connections.erase(this);
}

void Connection::read() {
  if (shared_.stopping) return close();
  parser_.emplace();
  parser_->header_limit(kHeaderLimitBytes);
  parser_->body_limit(boost::none);  // So that the refusal can name both sizes; set before the body is read.
  stream_.expires_after(shared_.options.idle_timeout);
  beast::http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_header(error); });
}

void Connection::on_header(beast::error_code error) {
  if (error == beast::http::error::header_limit) return answer_error(431, "the header is too large");
  if (error && error.category() == make_error_code(beast::http::error::bad_method).category() &&
      error != beast::http::error::end_of_stream && error != beast::http::error::partial_message) {
    return answer_error(400, "not HTTP: " + error.message());
  }
  if (error) return close();
  if (parser_->content_length() && *parser_->content_length() > shared_.options.max_body_bytes) {
    return answer_error(413, "the request is too large: expected at most " +
                                 std::to_string(shared_.options.max_body_bytes) + " bytes, got " +
                                 std::to_string(*parser_->content_length()));
  }
  parser_->body_limit(shared_.options.max_body_bytes);
  if (beast::iequals(parser_->get()[beast::http::field::expect], "100-continue")) {
    go_on_ = {beast::http::status::continue_, parser_->get().version()};
    beast::http::async_write(stream_, go_on_, [self = shared_from_this()](beast::error_code failed, std::size_t) {
      if (failed) return self->close();
      self->read_body();
    });
    return;
  }
  read_body();
}

void Connection::read_body() {
  beast::http::async_read(stream_, buffer_, *parser_,
                          [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_body(error); });
}

void Connection::on_body(beast::error_code error) {
  if (error == beast::http::error::body_limit) {
    return answer_error(
        413, "the request is too large: expected at most " + std::to_string(shared_.options.max_body_bytes) + " bytes");
  }
  if (error) return close();
  stream_.expires_never();
  busy_ = true;
  ++shared_.in_flight;
  asio::post(shared_.pool, [self = shared_from_this()]() mutable {
    Connection& connection = *self;
    connection.handle(std::move(self));
  });
}

void Connection::handle(std::shared_ptr<Connection> self) {
  const auto& message = parser_->get();
  const std::string_view target = view(message.target());
  const auto question = target.find('?');
  Request request;
  request.method = view(message.method_string());
  request.path = target.substr(0, question);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  request.body = message.body();
  request.header = [&message](std::string_view name) {
    return view(message[beast::string_view(name.data(), name.size())]);
  };
  Response response;
  try {
    response = shared_.handler(request);
  } catch (const std::exception& failure) {
    response.status = 500;
    response.body = error_body(std::string("internal error: ") + failure.what());
  }
  const bool keep_alive = message.keep_alive() && !shared_.stopping;
  // The pool's reference goes along: the last one must not end here, on a thread that may not touch `connections`.
  asio::post(shared_.io, [self = std::move(self), response = std::move(response), keep_alive]() mutable {
    self->answer(std::move(response), keep_alive);
  });
}

void Connection::answer(Response response, bool keep_alive) {
  const bool head = parser_ && parser_->get().method() == beast::http::verb::head;
  response_ = {};
  response_.version(11);
  response_.result(static_cast<unsigned>(response.status));
  response_.set(beast::http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) response_.set(name, value);
  response_.body() = std::move(response.body);
  response_.keep_alive(keep_alive);
  response_.prepare_payload();
  if (head) response_.body().clear();
  stream_.expires_after(shared_.options.idle_timeout);
  beast::http::async_write(stream_, response_,
                           [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
                             self->finish_request();
                             if (error || !keep_alive) return self->close();
                             self->read();
                           });
}

void Connection::finish_request() {
  if (busy_) --shared_.in_flight;
  busy_ = false;
}

void Connection::answer_error(int status, std::string_view message) {
  answer({status, "application/json", {}, error_body(message)}, false);
}

void Connection::refuse() {
  answer_error(503, "too many connections; try again later");
}

void Connection::close() {
  boost::system::error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
}

}  // namespace verge::http
