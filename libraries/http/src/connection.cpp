#include "connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/beast/core/string.hpp>

#include "tls.hpp"

namespace verge::http {
namespace beast = boost::beast;

namespace {

constexpr std::uint32_t kHeaderLimitBytes = 64U << 10U;
constexpr std::size_t kReadBytes = std::size_t{16} << 10U;
/// Memory is taken as a body comes: what its length promises is the client's word.
constexpr std::size_t kFirstBodyBytes = std::size_t{1} << 20U;
constexpr std::chrono::seconds kHandshakeTimeout{20};
constexpr int kLinger_ms = 1;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

std::string error_body(std::string_view message) {
  std::string body = "{\"error\":\"";
  for (const char c : message) {
    if (c == '"' || c == '\\') body += '\\';
    body += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return body + "\"}";
}

void Connection::arm(std::uint32_t events, int operation) noexcept {
  generation_ = (generation_ + 1) & ((std::uint64_t{1} << kGenerationBits) - 1);
  epoll_event event{};
  event.events = events | EPOLLONESHOT;
  event.data.u64 = (id_ << kGenerationBits) | generation_;
  armed_.store(event.data.u64);
  ::epoll_ctl(shared_.epoll.number(), operation, number(), &event);
}

Connection::Connection(Channel channel, Shared& shared, std::uint64_t id, std::string remote_address, bool surplus)
    : channel_(std::move(channel)),
      shared_(shared),
      id_(id),
      remote_address_(std::move(remote_address)),
      state_(channel_.secure() ? State::shaking_hands : State::reading_head) {
  expire_after(std::min<std::chrono::milliseconds>(shared_.options.idle_timeout,
                                                   channel_.secure() ? kHandshakeTimeout : std::chrono::hours(1)));
  if (!surplus) return;
  answer_error(503, "too many connections; try again later");
}

Connection::~Connection() {
  if (busy_) --shared_.in_flight;
}

bool Connection::has_unread() const noexcept {
  int bytes = 0;
  return ::ioctl(number(), FIONREAD, &bytes) == 0 && bytes > 0;
}

void Connection::shut() const noexcept {
  ::shutdown(number(), SHUT_RDWR);
}

void Connection::expire_after(std::chrono::milliseconds time) noexcept {
  deadline_.store((Clock::now() + time).time_since_epoch().count(), std::memory_order_relaxed);
}

void Connection::never_expire() noexcept {
  deadline_.store(Clock::duration::max().count(), std::memory_order_relaxed);
}

Connection::Fate Connection::resume(std::uint64_t event, Buffer& spare) {
  if (!armed_.compare_exchange_strong(event, 0)) return Fate::lives;
  if (in_.capacity() == 0) in_.swap(spare);
  Next next = Next::go_on;
  do {
    next = step();
  } while (next == Next::go_on || (next == Next::wait_read && comes_soon()));
  if (next == Next::end) return Fate::ends;
  if (next == Next::held) return Fate::lives;  // Armed under its lock, and another's by now.
  give_memory_back(spare);
  arm(next == Next::wait_read ? EPOLLIN : EPOLLOUT, EPOLL_CTL_MOD);
  return Fate::lives;
}

/// Waits a moment for the next request of a client that asks one after the other: to be woken by it directly is faster
/// than to let all threads know, of which another, colder one would come. A few threads may do so at a time.
bool Connection::comes_soon() {
  if (state_ != State::reading_head || !answered_ || !in_.empty()) return false;
  answered_ = false;
  const auto most = std::max(1U, shared_.options.threads / 4);
  bool comes = false;
  if (shared_.lingering.fetch_add(1) < most) {
    pollfd event{number(), POLLIN, 0};
    comes = ::poll(&event, 1, kLinger_ms) > 0;
  }
  --shared_.lingering;
  return comes;
}

/// Many connections are idle: none keeps memory to read into.
void Connection::give_memory_back(Buffer& spare) {
  if (!in_.empty()) return;
  if (spare.capacity() == 0) {
    in_.swap(spare);
  } else {
    in_ = Buffer();
  }
}

Connection::Next Connection::step() {
  switch (state_) {
    case State::shaking_hands: return shake_hands();
    case State::reading_head: return read_head();
    case State::reading_body: return read_body();
    case State::held: return resume_held();
    case State::sending: return send();
    case State::leaving: return drain();
  }
  return Next::end;
}

Connection::Next Connection::wait(Io io) const noexcept {
  return io == Io::wait_read ? Next::wait_read : io == Io::wait_write ? Next::wait_write : Next::end;
}

Connection::Next Connection::shake_hands() {
  if (const auto io = channel_.shake_hands(); io != Io::done) return wait(io);
  client_certificate_ = client_certificate(channel_.tls());
  state_ = State::reading_head;
  expire_after(shared_.options.idle_timeout);
  return Next::go_on;
}

Connection::Next Connection::read_head() {
  if (!parser_) {
    parser_.emplace();
    parser_->header_limit(kHeaderLimitBytes);
    parser_->body_limit(boost::none);  // So that the refusal can name both sizes.
  }
  for (;;) {
    beast::error_code error = beast::http::error::need_more;
    if (!in_.empty()) {
      const auto bytes = in_.bytes();
      in_.consume(parser_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error));
    }
    if (parser_->is_header_done()) return on_head();
    if (error == beast::http::error::header_limit) return answer_error(431, "the header is too large");
    if (error && error != beast::http::error::need_more) return answer_error(400, "not HTTP: " + error.message());
    if (shared_.stopping) return Next::end;
    const auto moved = channel_.read(in_.space(kReadBytes));
    if (moved.io != Io::done) return wait(moved.io);
    if (in_.empty()) expire_after(shared_.options.idle_timeout);  // From its first byte on, for the whole header.
    in_.add(moved.bytes);
  }
}

Connection::Next Connection::on_head() {
  if (!place_body()) return Next::go_on;
  if (beast::iequals(parser_->get()[beast::http::field::expect], "100-continue") && length_ != got_) {
    constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
    const std::array<Channel::Piece, 1> piece{std::as_bytes(std::span(kGoOn))};
    if (const auto moved = channel_.write(piece); moved.io != Io::done || moved.bytes != kGoOn.size()) return Next::end;
  }
  state_ = State::reading_body;
  expire_after(shared_.options.idle_timeout);
  return Next::go_on;
}

/// Whether the body may come; false when the request has been refused.
bool Connection::place_body() {
  const auto declared = parser_->content_length();
  const bool empty = !parser_->chunked() && declared.value_or(0) == 0;
  length_ = parser_->chunked() ? std::numeric_limits<std::uint64_t>::max() : declared.value_or(0);
  got_ = 0;
  std::filesystem::path folder;
  if (shared_.options.body_folder && !empty) folder = shared_.options.body_folder(make_request());
  body_in_file_ = !folder.empty();
  limit_ = body_in_file_ ? shared_.options.max_file_bytes : shared_.options.max_body_bytes;
  if (body_in_file_ && shared_.options.file_limit) {
    limit_ = std::min(limit_, shared_.options.file_limit(make_request()));
  }
  if (declared && *declared > limit_) {
    answer_too_large(", got " + std::to_string(*declared));
    return false;
  }
  parser_->body_limit(limit_);
  if (body_in_file_ && !body_file_.create(folder)) {
    answer_error(507, std::string("the body cannot be stored: ") + std::strerror(errno) + "; free some space");
    return false;
  }
  if (!body_in_file_ && !empty) body_ = shared_.bodies.take();
  return true;
}

Connection::Next Connection::read_body() {
  return parser_->chunked() ? read_chunks() : read_length();
}

/// Where the next bytes of the body go: to the end of what is in memory, or into a piece that is then stored.
std::span<std::byte> Connection::body_space() {
  if (body_in_file_) return body_file_.piece;
  const auto left = length_ - got_;
  const auto wanted = std::max<std::size_t>(kFirstBodyBytes, body_.size());
  const auto space = body_.space(static_cast<std::size_t>(std::min<std::uint64_t>(left, wanted)));
  return space.first(static_cast<std::size_t>(std::min<std::uint64_t>(left, space.size())));
}

Connection::Next Connection::read_length() {
  while (got_ < length_) {
    auto space = body_space();
    space = space.first(static_cast<std::size_t>(std::min<std::uint64_t>(length_ - got_, space.size())));
    std::size_t count = std::min(in_.size(), space.size());
    if (count > 0) {
      std::memcpy(space.data(), in_.bytes().data(), count);
      in_.consume(count);
    } else {
      const auto moved = channel_.read(space);
      if (moved.io != Io::done) return wait(moved.io);
      count = moved.bytes;
      expire_after(shared_.options.idle_timeout);
    }
    got_ += count;
    if (!body_in_file_) {
      body_.add(count);
    } else if (!body_file_.write(space.first(count))) {
      return store_failed();
    }
  }
  return run();
}

Connection::Next Connection::answer_too_large(const std::string& got) {
  if (shared_.options.too_large) return refuse(shared_.options.too_large(make_request(), limit_));
  return answer_error(413, "the request is too large: expected at most " + std::to_string(limit_) + " bytes" + got);
}

Connection::Next Connection::store_failed() {
  const std::string reason = std::strerror(errno);
  body_file_.reset();
  return answer_error(507, "the body cannot be stored: " + reason + "; free some space");
}

Connection::Next Connection::read_chunks() {
  while (!parser_->is_done()) {
    beast::error_code error = beast::http::error::need_more;
    if (!in_.empty()) {
      const auto space = body_in_file_ ? std::span<std::byte>(body_file_.piece) : body_.space(kReadBytes);
      parser_->get().body().data = space.data();
      parser_->get().body().size = space.size();
      const auto bytes = in_.bytes();
      in_.consume(parser_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error));
      const auto count = space.size() - parser_->get().body().size;
      if (!body_in_file_) {
        body_.add(count);
      } else if (!body_file_.write(space.first(count))) {
        return store_failed();
      }
    }
    if (error == beast::http::error::body_limit) {
      return answer_too_large("");
    }
    if (error == beast::http::error::need_buffer || !error) continue;
    if (error != beast::http::error::need_more) return answer_error(400, "not HTTP: " + error.message());
    if (in_.size() > kHeaderLimitBytes) return answer_error(400, "not HTTP: a chunk's header is too long");
    const auto moved = channel_.read(in_.space(kReadBytes));
    if (moved.io != Io::done) return wait(moved.io);
    in_.add(moved.bytes);
    expire_after(shared_.options.idle_timeout);
  }
  return run();
}

Request Connection::make_request() const {
  const auto& head = parser_->get().base();
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

Connection::Next Connection::run() {
  never_expire();
  busy_ = true;
  ++shared_.in_flight;
  Request request = make_request();
  if (body_in_file_) {
    body_file_.close();
    request.body_file = body_file_.path();
  } else {
    request.body = body_.bytes();
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
  shared_.bodies.give_back(std::move(body_));
  body_ = {};
  const bool keep_alive = parser_->get().keep_alive();
  if (!response.later) return answer(std::move(response), keep_alive);
  keep_alive_ = keep_alive;
  return hold(response.later);
}

Connection::Next Connection::hold(const std::function<void(std::function<void(Response)>)>& later) {
  busy_ = false;
  --shared_.in_flight;
  if (shared_.stopping) return Next::end;
  state_ = State::held;
  {
    const std::lock_guard lock(held_mutex_);
    held_ = true;
    late_answer_.reset();
  }
  // The answer may come before this returns; whoever gives it must not wait for us.
  later([gate = shared_.gate, weak = weak_from_this()](Response response) {
    const std::lock_guard lock(gate->mutex);
    if (!gate->open) return;
    if (const auto self = weak.lock()) self->take_answer(std::move(response));
  });
  return Next::go_on;  // To resume_held(), for either.
}

/// On whatever thread the answer comes from: the next that is free sends it.
void Connection::take_answer(Response response) {
  const std::lock_guard lock(held_mutex_);
  if (!held_ || late_answer_) return;
  late_answer_ = std::move(response);
  // Whoever has its event already looks for the answer once it has the lock.
  if (auto armed = armed_.load(); armed != 0 && armed_.compare_exchange_strong(armed, 0)) arm(EPOLLOUT, EPOLL_CTL_MOD);
}

/// Sends the answer that has come; ends when the client has gone; else watches for both.
Connection::Next Connection::resume_held() {
  std::unique_lock lock(held_mutex_);
  if (late_answer_) {
    held_ = false;
    Response response = std::move(*late_answer_);
    late_answer_.reset();
    lock.unlock();
    busy_ = true;
    ++shared_.in_flight;
    return more_ ? go_on_with(std::move(response.body)) : answer(std::move(response), keep_alive_);
  }
  char byte = 0;
  const auto got = ::recv(number(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
    held_ = false;
    return Next::end;
  }
  // When it has sent more, that is the next request, which waits; or TLS's goodbye, which writing will find.
  if (in_.empty()) in_ = Buffer();
  arm(got > 0 ? 0U : EPOLLRDHUP, EPOLL_CTL_MOD);
  return Next::held;
}

}  // namespace verge::http
