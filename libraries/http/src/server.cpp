#include "verge/http/server.hpp"

#include <csignal>
#include <thread>
#include <unordered_map>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "connection.hpp"
#include "tls.hpp"
#include "verge/http/listener.hpp"

namespace verge::http {
namespace {

/// Events that are for no connection: connections have ids from 1 on, shifted up.
constexpr std::uint64_t kEnd = 0;
constexpr std::uint64_t kTimer = 1;
constexpr std::uint64_t kFirstListener = 2;
/// Beyond the limit so many more are told that there are too many; others are closed without a word.
constexpr std::size_t kSurplus = 64;
constexpr std::chrono::milliseconds kFarewell{300};
constexpr std::chrono::milliseconds kLongestTick{5000};
constexpr std::chrono::milliseconds kShortestTick{100};

void control(int epoll, int operation, int number, std::uint32_t events, std::uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  ::epoll_ctl(epoll, operation, number, &event);
}

}  // namespace

struct Server::State {
  Shared shared;
  std::vector<Listener> listeners;  ///< The first is TCP.
  std::vector<std::thread> threads;
  Descriptor end;
  Descriptor timer;
  std::atomic<bool> ending{false};
  std::mutex mutex;  ///< For what follows.
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections;
  std::uint64_t next_id = 1;
  bool ticking = false;
  std::mutex tls_mutex;
  std::shared_ptr<SSL_CTX> tls;

  State(const ServerOptions& options, Handler handler) : shared(options, std::move(handler)) {}

  /// What each thread does.
  void serve() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);  // OpenSSL writes without MSG_NOSIGNAL.
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    Buffer spare;
    while (!ending) {
      epoll_event event{};  // One: what a thread takes must not wait for its handler.
      if (::epoll_wait(shared.epoll.number(), &event, 1, -1) != 1) continue;
      const std::uint64_t data = event.data.u64;
      if (data == kEnd) return;
      if (data == kTimer) {
        sweep();
      } else if (Connection::id_of(data) == 0) {
        accept(data - kFirstListener);
      } else {
        resume(data, spare);
      }
    }
  }

  void resume(std::uint64_t event, Buffer& spare) {
    std::shared_ptr<Connection> connection;
    {
      const std::lock_guard lock(mutex);
      const auto found = connections.find(Connection::id_of(event));
      if (found == connections.end()) return;
      connection = found->second;
    }
    if (connection->resume(event, spare) == Connection::Fate::ends) forget(connection->id());
  }

  void forget(std::uint64_t id) {
    std::shared_ptr<Connection> last;  // Ends outside the lock.
    const std::lock_guard lock(mutex);
    const auto found = connections.find(id);
    if (found == connections.end()) return;
    last = std::move(found->second);
    connections.erase(found);
  }

  void accept(std::uint64_t index) {
    const Listener& listener = listeners[index];
    while (!shared.leaving) {
      auto client = listener.accept();
      if (client.socket) {
        add(std::move(client), listener.is_unix());
        continue;
      }
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno != EAGAIN) std::this_thread::sleep_for(std::chrono::milliseconds(10));  // No descriptors: never spin.
      break;
    }
    if (shared.leaving) return;
    control(shared.epoll.number(), EPOLL_CTL_MOD, listener.number(), EPOLLIN | EPOLLONESHOT, kFirstListener + index);
  }

  void add(Listener::Client client, bool from_unix) {
    std::shared_ptr<SSL_CTX> context;
    if (shared.options.tls && !from_unix) {
      if (shared.options.before_connection) shared.options.before_connection();
      const std::lock_guard lock(tls_mutex);
      context = tls;
    }
    const std::lock_guard lock(mutex);
    const auto count = connections.size();
    const bool surplus = count >= shared.options.max_connections;
    if (surplus && (count >= shared.options.max_connections + kSurplus || context != nullptr)) return;
    const auto id = next_id++;
    const auto connection = std::make_shared<Connection>(Channel(std::move(client.socket), context), shared, id,
                                                         std::move(client.address), surplus);
    connections.emplace(id, connection);
    connection->arm(surplus ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD);
    if (!ticking) tick();
  }

  /// With the lock. Only while there are connections: an idle server has nothing to do.
  void tick() {
    const auto period =
        std::clamp<std::chrono::milliseconds>(shared.options.idle_timeout / 4, kShortestTick, kLongestTick);
    itimerspec when{};
    when.it_value.tv_sec = period.count() / 1000;
    when.it_value.tv_nsec = period.count() % 1000 * 1'000'000;
    ::timerfd_settime(timer.number(), 0, &when, nullptr);
    ticking = true;
  }

  /// Ends what has waited too long.
  void sweep() {
    std::uint64_t expirations = 0;
    if (::read(timer.number(), &expirations, sizeof expirations) < 0) expirations = 0;
    const auto now = Clock::now();
    const std::lock_guard lock(mutex);
    for (const auto& [id, connection] : connections) {
      if (connection->overdue(now)) connection->shut();
    }
    ticking = false;
    if (!connections.empty()) tick();
    control(shared.epoll.number(), EPOLL_CTL_MOD, timer.number(), EPOLLIN | EPOLLONESHOT, kTimer);
  }

  /// Who is connected may ask once more, and is told with the answer to come again: to the program that follows. Then
  /// those end that have asked nothing; who has, and was not seen yet, is answered.
  void say_farewell() {
    wait_until_alone();
    {
      const std::lock_guard lock(mutex);
      for (const auto& [id, connection] : connections) {
        if (connection->idle() && !connection->has_unread()) connection->shut();
      }
    }
    wait_until_alone();
  }

  void wait_until_alone() {
    for (const auto deadline = Clock::now() + kFarewell; Clock::now() < deadline;) {
      {
        const std::lock_guard lock(mutex);
        if (connections.empty()) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  void shut(bool only_idle) {
    const std::lock_guard lock(mutex);
    for (const auto& [id, connection] : connections) {
      if (!only_idle || connection->idle()) connection->shut();
    }
  }

  Result<void> open() {
    shared.epoll = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    end = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    timer = Descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!shared.epoll || !end || !timer) {
      return Error(ErrorCode::unavailable, "VRG-HTT-004",
                   "the system gives no more file descriptors; raise the limit (ulimit -n)");
    }
    control(shared.epoll.number(), EPOLL_CTL_ADD, end.number(), EPOLLIN, kEnd);
    control(shared.epoll.number(), EPOLL_CTL_ADD, timer.number(), EPOLLIN | EPOLLONESHOT, kTimer);
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      control(shared.epoll.number(), EPOLL_CTL_ADD, listeners[i].number(), EPOLLIN | EPOLLONESHOT, kFirstListener + i);
    }
    for (unsigned i = 0; i < std::max(1U, shared.options.threads); ++i) threads.emplace_back([this] { serve(); });
    return {};
  }
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Handler handler) {
  auto state = std::make_unique<State>(options, std::move(handler));
  if (options.tls) {
    VERGE_ASSIGN(state->tls, make_context(*options.tls));
  }
  VERGE_ASSIGN(auto tcp, Listener::tcp(options.address, options.port, options.kept));
  state->listeners.push_back(std::move(tcp));
  if (!options.unix_socket.empty()) {
    VERGE_ASSIGN(auto local, Listener::unix_socket(options.unix_socket, options.kept));
    state->listeners.push_back(std::move(local));
  }
  for (auto& listener : state->listeners) {
    if (options.keep && options.keep(listener.number(), listener.is_unix())) listener.set_kept();
  }
  VERGE_TRY(state->open());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

std::uint16_t Server::port() const noexcept {
  return state_->listeners.front().port();
}

Result<void> Server::renew(const Tls& tls) {
  VERGE_ASSIGN(auto context, make_context(tls));
  const std::lock_guard lock(state_->tls_mutex);
  state_->tls = std::move(context);
  return {};
}

void Server::stop(std::chrono::milliseconds patience) {
  State& state = *state_;
  if (state.threads.empty()) return;
  state.shared.leaving = true;
  if (state.listeners.front().is_kept()) state.say_farewell();
  state.shared.stopping = true;
  for (const auto& listener : state.listeners) listener.shut();
  state.shut(true);
  const auto deadline = Clock::now() + patience;
  while (state.shared.in_flight > 0 && Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  state.shut(false);
  {
    const std::lock_guard lock(state.shared.gate->mutex);
    state.shared.gate->open = false;  // Held answers that still come go nowhere.
  }
  state.ending = true;
  const std::uint64_t one = 1;
  static_cast<void>(::write(state.end.number(), &one, sizeof one));
  for (auto& thread : state.threads) thread.join();
  state.threads.clear();
  state.connections.clear();
  state.listeners.erase(state.listeners.begin() + 1, state.listeners.end());  // Removes the Unix socket.
}

Server::~Server() {
  stop(std::chrono::seconds(5));
}

bool decode_percent(std::string_view text, std::string& out) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return false;
    const int value = digit(text[i + 1]) * 16 + digit(text[i + 2]);
    if (value == 0) return false;
    out += static_cast<char>(value);
    i += 2;
  }
  return true;
}

}  // namespace verge::http
