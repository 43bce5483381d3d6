// The answering half of Connection.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <boost/beast/http/status.hpp>

#include "connection.hpp"

namespace verge::http {
namespace {

constexpr std::chrono::seconds kGoodbyeTimeout{2};
/// Below it, what is sent is one piece: a TLS record holds as much, and a copy costs less than a second one.
constexpr std::size_t kOneRecordBytes = std::size_t{16} << 10U;

bool same_name(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

void Connection::write_head(const Response& response, bool for_head, bool keep_alive) {
  const auto reason = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status));
  head_.clear();
  auto out = std::back_inserter(head_);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", response.status,
                 std::string_view(reason.data(), reason.size()), response.content_type);
  bool own_length = false;
  for (const auto& [name, value] : response.headers) {
    if (same_name(name, "content-length")) {
      if (!for_head) continue;
      own_length = true;
    }
    fmt::format_to(out, "{}: {}\r\n", name, value);
  }
  if (!keep_alive) {
    head_ += "Connection: close\r\n";
  } else if (parser_ && parser_->get().version() < 11) {
    head_ += "Connection: keep-alive\r\n";
  }
  std::uint64_t length = response.file.empty() ? response.body.size() : response.length_bytes;
  for (const auto piece : response.attached) length += piece.size();
  const bool no_body = response.status < 200 || response.status == 204 || response.status == 304;
  if (!own_length && !response.more && !(no_body && length == 0)) fmt::format_to(out, "Content-Length: {}\r\n", length);
  head_ += "\r\n";
}

Connection::Next Connection::answer(Response response, bool keep_alive) {
  keep_alive_ = keep_alive && !shared_.leaving && !response.more;
  const bool for_head = parser_ && parser_->get().method() == boost::beast::http::verb::head;
  if (!response.file.empty() && !for_head && !file_.open(response.file, response.offset_bytes, response.length_bytes)) {
    response = {};
    response.status = 500;
    response.body = error_body("the file to be answered cannot be read; try again");
  }
  if (!for_head) more_ = response.more;
  response_ = std::move(response);
  write_head(response_, for_head, keep_alive_);
  pieces_.clear();
  if (!for_head && response_.file.empty() && head_.size() + response_.body.size() <= kOneRecordBytes) {
    head_ += response_.body;
    response_.body.clear();
  }
  pieces_.push_back(std::as_bytes(std::span(head_)));
  if (!for_head && response_.file.empty()) {
    pieces_.push_back(std::as_bytes(std::span(response_.body)));
    for (const auto piece : response_.attached) pieces_.push_back(piece);
  }
  state_ = State::sending;
  expire_after(shared_.options.idle_timeout);
  return send();
}

/// The next piece of an answer that comes in pieces; an empty one is its end.
Connection::Next Connection::go_on_with(std::string piece) {
  if (piece.empty()) {
    more_ = nullptr;
    return sent();
  }
  response_.body = std::move(piece);
  pieces_.assign(1, std::as_bytes(std::span(response_.body)));
  state_ = State::sending;
  expire_after(shared_.options.idle_timeout);
  return send();
}

Connection::Next Connection::answer_error(int status, std::string_view message) {
  Response response;
  response.status = status;
  response.body = error_body(message);
  return refuse(std::move(response));
}

/// Answers without the handler, and ends the connection.
Connection::Next Connection::refuse(Response response) {
  body_file_.reset();
  if (!busy_) {
    busy_ = true;
    ++shared_.in_flight;
  }
  return answer(std::move(response), false);
}

/// False when it has to wait, or cannot.
bool Connection::write_pieces(Next& next) {
  while (!pieces_.empty()) {
    const auto moved = channel_.write(pieces_);
    if (moved.io != Io::done) {
      next = wait(moved.io);
      return false;
    }
    std::size_t left = moved.bytes;
    auto piece = pieces_.begin();
    while (piece != pieces_.end() && piece->size() <= left) left -= (piece++)->size();
    if (piece != pieces_.end()) *piece = piece->subspan(left);
    pieces_.erase(pieces_.begin(), piece);
    if (moved.bytes > 0) expire_after(shared_.options.idle_timeout);
  }
  return true;
}

/// The handler's memory is not kept for a slow client.
void Connection::keep_rest() {
  if (response_.keep == nullptr) return;
  Buffer rest = shared_.bodies.take();
  std::size_t size = 0;
  for (const auto piece : pieces_) size += piece.size();
  rest.reserve(size);
  for (const auto piece : pieces_) rest.append(piece);
  rest_ = std::move(rest);
  pieces_.assign(1, rest_.bytes());
  response_.keep.reset();
}

Connection::Next Connection::send() {
  Next next = Next::end;
  for (;;) {
    if (!write_pieces(next)) {
      if (next != Next::end) keep_rest();
      return next;
    }
    response_.keep.reset();
    if (response_.file.empty() || file_.done()) return sent();
    const auto bytes = file_.next();
    if (bytes.empty()) return Next::end;  // Too late for another status: cut, so that it shows.
    pieces_.push_back(bytes);
  }
}

Connection::Next Connection::sent() {
  if (more_) {
    never_expire();
    return hold([more = more_](const std::function<void(Response)>& answer) {
      more([answer](std::string piece) {
        Response next;
        next.body = std::move(piece);
        answer(std::move(next));
      });
    });
  }
  file_.reset();
  parser_.reset();
  response_ = {};
  if (head_.capacity() > kOneRecordBytes) head_ = {};
  shared_.bodies.give_back(std::move(rest_));
  rest_ = {};
  if (busy_) --shared_.in_flight;
  busy_ = false;
  if (!keep_alive_) return leave();
  answered_ = true;
  state_ = State::reading_head;
  expire_after(shared_.options.idle_timeout);
  // What follows is nearly never there yet: better to wait for it than to look.
  return in_.empty() && !channel_.pending() ? Next::wait_read : Next::go_on;
}

/// Closing with something unread would reset the connection, and the answer might be lost: so it is read for a moment.
Connection::Next Connection::leave() {
  channel_.say_goodbye();
  state_ = State::leaving;
  expire_after(std::min<std::chrono::milliseconds>(kGoodbyeTimeout, shared_.options.idle_timeout));
  in_.clear();
  return Next::go_on;
}

Connection::Next Connection::drain() {
  std::array<std::byte, 4096> unread;
  for (int reads = 0; reads < 1024; ++reads) {
    const auto io = channel_.discard(unread);
    if (io != Io::done) return wait(io);
  }
  return Next::end;
}

}  // namespace verge::http
