#include "connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "tls.hpp"

namespace verge::http {
namespace beast = boost::beast;
namespace asio = boost::asio;

namespace {

constexpr std::uint32_t kHeaderLimitBytes = 64U << 10U;
constexpr std::chrono::seconds kHandshakeTimeout{20};
constexpr std::chrono::seconds kGoodbyeTimeout{2};

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

Connection::Connection(asio::ip::tcp::socket socket, Shared& shared)
    : stream_(std::move(socket), shared.tls.get()), shared_(shared) {
  shared_.connections.insert(this);
  boost::system::error_code ignored;
  stream_.tcp().socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  const auto remote = stream_.tcp().socket().remote_endpoint(ignored);
  if (!ignored) remote_address_ = remote.address().to_string();
}

Connection::~Connection() {
  shared_.connections.erase(this);
}

void Connection::begin() {
  if (!stream_.secure()) return read();
  stream_.tcp().expires_after(std::min<std::chrono::seconds>(shared_.options.idle_timeout, kHandshakeTimeout));
  stream_.tls().async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](beast::error_code error) {
    if (error) return self->close();
    self->client_certificate_ = client_certificate(self->stream_.tls().native_handle());
    self->read();
  });
}

void Connection::read() {
  if (shared_.stopping) return close();
  file_parser_.reset();
  parser_.emplace();
  parser_->header_limit(kHeaderLimitBytes);
  parser_->body_limit(boost::none);  // So that the refusal can name both sizes; set before the body is read.
  stream_.tcp().expires_after(shared_.options.idle_timeout);
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
  if (!place_body()) return;
  if (beast::iequals(head()[beast::http::field::expect], "100-continue")) {
    go_on_ = {beast::http::status::continue_, head().version()};
    beast::http::async_write(stream_, go_on_, [self = shared_from_this()](beast::error_code failed, std::size_t) {
      if (failed) return self->close();
      self->read_body();
    });
    return;
  }
  read_body();
}

bool Connection::place_body() {
  std::filesystem::path folder;
  const bool empty = parser_->is_done() || (parser_->content_length() && *parser_->content_length() == 0);
  if (shared_.options.body_folder && !empty) folder = shared_.options.body_folder(make_request(parser_->get()));
  const auto limit = folder.empty() ? shared_.options.max_body_bytes : shared_.options.max_file_bytes;
  if (parser_->content_length() && *parser_->content_length() > limit) {
    answer_error(413, "the request is too large: expected at most " + std::to_string(limit) + " bytes, got " +
                          std::to_string(*parser_->content_length()));
    return false;
  }
  parser_->body_limit(limit);
  if (folder.empty()) return true;
  if (!body_file_.create(folder)) {
    answer_error(507, std::string("the body cannot be stored: ") + std::strerror(errno) + "; free some space");
    return false;
  }
  file_parser_.emplace(std::move(*parser_));
  return true;
}

const beast::http::request_header<>& Connection::head() const {
  return file_parser_ ? file_parser_->get().base() : parser_->get().base();
}

void Connection::read_body() {
  if (file_parser_) return read_piece();
  beast::http::async_read(stream_, buffer_, *parser_,
                          [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_body(error); });
}

void Connection::read_piece() {
  file_parser_->get().body().data = body_file_.piece.data();
  file_parser_->get().body().size = body_file_.piece.size();
  stream_.tcp().expires_after(shared_.options.idle_timeout);
  beast::http::async_read(stream_, buffer_, *file_parser_,
                          [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_piece(error); });
}

void Connection::on_piece(beast::error_code error) {
  if (error == beast::http::error::need_buffer) error = {};
  if (error) {
    body_file_.reset();
    return on_body(error);
  }
  // The disk may be slow: the socket thread does not wait for it.
  asio::post(shared_.pool, [self = shared_from_this()]() mutable {
    Connection& connection = *self;
    const auto size = connection.body_file_.piece.size() - connection.file_parser_->get().body().size;
    const bool written = connection.body_file_.write(std::span(connection.body_file_.piece).first(size));
    const int failure = errno;
    asio::post(connection.shared_.io, [self = std::move(self), written, failure] {
      if (!written) {
        self->body_file_.reset();
        return self->answer_error(
            507, std::string("the body cannot be stored: ") + std::strerror(failure) + "; free some space");
      }
      if (!self->file_parser_->is_done()) return self->read_piece();
      self->body_file_.close();
      self->run();
    });
  });
}

void Connection::on_body(beast::error_code error) {
  if (error == beast::http::error::body_limit) {
    const auto limit = file_parser_ ? shared_.options.max_file_bytes : shared_.options.max_body_bytes;
    return answer_error(413, "the request is too large: expected at most " + std::to_string(limit) + " bytes");
  }
  if (error) return close();
  run();
}

void Connection::run() {
  stream_.tcp().expires_never();
  busy_ = true;
  ++shared_.in_flight;
  asio::post(shared_.pool, [self = shared_from_this()]() mutable {
    Connection& connection = *self;
    connection.handle(std::move(self));
  });
}

Request Connection::make_request(const beast::http::request_header<>& head) const {
  const std::string_view target = view(head.target());
  const auto question = target.find('?');
  Request request;
  request.method = view(head.method_string());
  request.path = target.substr(0, question);
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  request.header = [&head](std::string_view name) { return view(head[beast::string_view(name.data(), name.size())]); };
  request.client_certificate = client_certificate_;
  request.remote_address = remote_address_;
  return request;
}

void Connection::handle(std::shared_ptr<Connection> self) {
  Request request = make_request(head());
  if (file_parser_) {
    request.body_file = body_file_.path();
  } else {
    request.body = parser_->get().body();
  }
  Response response;
  try {
    response = shared_.handler(request);
  } catch (const std::exception& failure) {
    response = {};
    response.status = 500;
    response.body = error_body(std::string("internal error: ") + failure.what());
  }
  body_file_.reset();
  const bool keep_alive = (file_parser_ ? file_parser_->get().keep_alive() : parser_->get().keep_alive());
  // The pool's reference goes along: the last one must not end here, on a thread that may not touch `connections`.
  asio::post(shared_.io, [self = std::move(self), response = std::move(response), keep_alive]() mutable {
    if (response.later) return self->hold(response.later, keep_alive);
    self->answer(std::move(response), keep_alive);
  });
}

void Connection::hold(const std::function<void(std::function<void(Response)>)>& later, bool keep_alive) {
  finish_request();
  if (shared_.stopping) return close();
  shared_.held.insert(shared_from_this());
  watch_held();
  later([gate = shared_.gate, weak = weak_from_this(), keep_alive](Response response) {
    const std::lock_guard lock(gate->mutex);
    if (gate->shared == nullptr) return;
    asio::post(gate->shared->io, [weak, response = std::move(response), keep_alive]() mutable {
      const auto self = weak.lock();
      if (!self || self->shared_.held.erase(self) == 0) return;
      boost::system::error_code ignored;
      self->stream_.tcp().socket().cancel(ignored);  // The watch for its end.
      self->busy_ = true;
      ++self->shared_.in_flight;
      self->answer(std::move(response), keep_alive);
    });
  });
}

/// A client that goes while its answer is held is let go at once.
void Connection::watch_held() {
  auto& socket = stream_.tcp().socket();
  socket.async_wait(asio::ip::tcp::socket::wait_read, [weak = weak_from_this()](beast::error_code error) {
    const auto self = weak.lock();
    if (error || !self || !self->shared_.held.contains(self)) return;
    char byte = 0;
    const auto got = ::recv(self->stream_.tcp().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return;  // It sends more: the next request, which waits; or TLS's goodbye, which writing will find.
    if (got < 0 && errno == EAGAIN) return self->watch_held();
    self->close();
    self->shared_.held.erase(self);
  });
}

void Connection::answer(Response response, bool keep_alive) {
  keep_alive = keep_alive && !shared_.stopping;
  const bool for_head = (parser_ || file_parser_) && head().method() == beast::http::verb::head;
  if (!response.file.empty() && !for_head &&
      !piece_.open(response.file, response.offset_bytes, response.length_bytes)) {
    response = {500, "application/json", {}, error_body("the file to be answered cannot be read; try again"), {}, 0, 0,
                {}};
  }
  response_ = {};
  response_.version(11);
  response_.result(static_cast<unsigned>(response.status));
  response_.set(beast::http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) response_.set(name, value);
  const bool own_length = for_head && response_.count(beast::http::field::content_length) != 0;
  response_.keep_alive(keep_alive);
  if (!response.file.empty()) {
    response_.content_length(response.length_bytes);
  } else if (!own_length) {
    response_.body() = std::move(response.body);
    response_.prepare_payload();
  }
  if (for_head) response_.body().clear();
  stream_.tcp().expires_after(shared_.options.idle_timeout);
  const bool with_file = !response.file.empty() && !for_head;
  beast::http::async_write(stream_, response_,
                           [self = shared_from_this(), keep_alive, with_file](beast::error_code error, std::size_t) {
                             if (!error && with_file) return self->send_file(keep_alive);
                             self->sent(error, keep_alive);
                           });
}

void Connection::send_file(bool keep_alive) {
  if (piece_.done()) return sent({}, keep_alive);
  const auto bytes = piece_.next();
  if (bytes.empty()) return sent(asio::error::eof, false);  // Too late for another status: cut, so that it shows.
  stream_.tcp().expires_after(shared_.options.idle_timeout);
  asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()),
                    [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
                      if (error) return self->sent(error, keep_alive);
                      self->send_file(keep_alive);
                    });
}

void Connection::sent(beast::error_code error, bool keep_alive) {
  piece_.reset();
  finish_request();
  if (!error && keep_alive) return read();
  if (error || !stream_.secure()) return close();
  stream_.tcp().expires_after(kGoodbyeTimeout);
  stream_.tls().async_shutdown([self = shared_from_this()](beast::error_code) { self->close(); });
}

void Connection::finish_request() {
  if (busy_) --shared_.in_flight;
  busy_ = false;
}

void Connection::answer_error(int status, std::string_view message) {
  Response response;
  response.status = status;
  response.body = error_body(message);
  answer(std::move(response), false);
}

void Connection::refuse() {
  if (stream_.secure()) return close();
  answer_error(503, "too many connections; try again later");
}

void Connection::close() {
  boost::system::error_code ignored;
  stream_.tcp().socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.tcp().close();
}

}  // namespace verge::http
