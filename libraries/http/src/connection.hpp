// Connection: requests of one client, one after the other.
//
// Its socket is armed in the server's epoll for one event. The thread that gets the event owns the connection until it
// arms it again, as the last thing it does: no lock is needed between.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "body_file.hpp"
#include "buffer.hpp"
#include "channel.hpp"
#include "verge/http/server.hpp"

namespace verge::http {

class Connection;
/// {"error": "…"}
std::string error_body(std::string_view message);
using Clock = std::chrono::steady_clock;

/// The way back for held answers, which may come when the server has gone.
struct Gate {
  std::mutex mutex;
  bool open = true;
};

/// What all connections of a server share. Thread-safe.
struct Shared {
  Shared(const ServerOptions& o, Handler h) : options(o), handler(std::move(h)) {}

  const ServerOptions options;
  const Handler handler;
  Descriptor epoll;
  SpareBuffers bodies;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::atomic<std::size_t> in_flight{0};  ///< Requests that a handler has, or whose answer is on its way.
  std::atomic<unsigned> lingering{0};     ///< Threads that wait for one connection only.
  std::atomic<bool> leaving{false};       ///< Nobody new is taken, and nobody asked for more after an answer.
  std::atomic<bool> stopping{false};
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// A `surplus` one is told that there are too many.
  Connection(Channel channel, Shared& shared, std::uint64_t id, std::string remote_address, bool surplus);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Lets any thread resume it when one of `events` (of epoll) has come. `operation` is EPOLL_CTL_ADD at first.
  void arm(std::uint32_t events, int operation) noexcept;
  /// Goes on as far as it can, with `spare` as memory to read into, then arms itself again; or says that it is to be
  /// forgotten. For the event of an earlier arming it does nothing.
  enum class Fate { lives, ends };
  Fate resume(std::uint64_t event, Buffer& spare);
  /// The id of the connection that an event of epoll is for.
  [[nodiscard]] static std::uint64_t id_of(std::uint64_t event) noexcept { return event >> kGenerationBits; }

  [[nodiscard]] int number() const noexcept { return channel_.number(); }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  /// Whether no request is being handled or answered. From any thread.
  [[nodiscard]] bool idle() const noexcept { return !busy_; }
  /// Whether something has come that no thread has read. From any thread, while its id is known to the server.
  [[nodiscard]] bool has_unread() const noexcept;
  [[nodiscard]] bool overdue(Clock::time_point now) const noexcept {
    return now.time_since_epoch().count() > deadline_.load(std::memory_order_relaxed);
  }
  /// Ends it from any thread: its owner finds the socket shut. Its id must still be known to the server.
  void shut() const noexcept;

 private:
  static constexpr unsigned kGenerationBits = 20;
  using Parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
  enum class State { shaking_hands, reading_head, reading_body, held, sending, leaving };
  enum class Next { go_on, wait_read, wait_write, held, end };

  Next step();
  bool comes_soon();
  void give_memory_back(Buffer& spare);
  Next shake_hands();
  Next read_head();
  Next on_head();
  bool place_body();
  Next read_body();
  Next read_length();
  Next read_chunks();
  Next store_failed();
  Next run();
  Next hold(const std::function<void(std::function<void(Response)>)>& later);
  Next resume_held();
  void take_answer(Response response);
  Next answer(Response response, bool keep_alive);
  Next go_on_with(std::string piece);
  Next answer_error(int status, std::string_view message);
  Next answer_too_large(const std::string& got);
  Next refuse(Response response);
  Next send();
  bool write_pieces(Next& wait);
  void keep_rest();
  Next sent();
  Next leave();
  Next drain();
  Next wait(Io io) const noexcept;
  void write_head(const Response& response, bool for_head, bool keep_alive);
  [[nodiscard]] Request make_request() const;
  void expire_after(std::chrono::milliseconds time) noexcept;
  void never_expire() noexcept;
  std::span<std::byte> body_space();

  Channel channel_;
  Shared& shared_;
  const std::uint64_t id_;
  const std::string remote_address_;
  std::string client_certificate_;
  State state_;
  std::atomic<std::uint64_t> armed_{0};  ///< What the event will carry; 0 while a thread owns the connection.
  std::uint64_t generation_ = 0;         ///< Of armings.
  std::atomic<bool> busy_{false};
  std::atomic<Clock::rep> deadline_{Clock::duration::max().count()};

  Buffer in_;
  std::optional<Parser> parser_;
  std::uint64_t length_ = 0;  ///< Of a body that is not chunked.
  std::uint64_t got_ = 0;     ///< Of it, so far.
  std::uint64_t limit_ = 0;   ///< Of the body's bytes.
  Buffer body_;
  bool body_in_file_ = false;
  BodyFile body_file_;

  Response response_;
  std::string head_;
  std::vector<Channel::Piece> pieces_;  ///< Still to be sent.
  Buffer rest_;                         ///< What they point to, once the handler's memory has been let go.
  FilePiece file_;
  std::function<void(std::function<void(std::string)>)> more_;  ///< Set while an answer comes in pieces.
  bool keep_alive_ = false;
  bool answered_ = false;  ///< Since it was last armed.

  std::mutex held_mutex_;
  std::optional<Response> late_answer_;
  bool held_ = false;
};

}  // namespace verge::http
