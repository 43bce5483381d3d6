#include "verge/mqtt/client.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <mosquitto.h>

namespace verge::mqtt {
namespace {

constexpr int kKeepAlive_s = 20;
constexpr int kLoop_ms = 200;
constexpr std::chrono::seconds kPatience{5};
constexpr std::chrono::milliseconds kFirstPause{250};
constexpr std::chrono::milliseconds kLongestPause{10'000};
constexpr auto kFarewell = std::chrono::seconds(1);
constexpr const char* kSystemAuthorities = "/etc/ssl/certs";

/// The library counts how often it was initialised.
class Library {
 public:
  Library() { ::mosquitto_lib_init(); }
  ~Library() { ::mosquitto_lib_cleanup(); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace

struct Client::State {
  Library library;
  Options options;
  Listener listener;
  struct mosquitto* handle = nullptr;
  mutable std::mutex mutex;
  std::condition_variable_any changed;
  std::size_t under_way = 0;
  std::int64_t acknowledged = 0;
  bool connected = false;

  std::string refusal;  ///< Of the broker, at this attempt; on the client's thread.
  std::jthread thread;

  ~State() {
    if (handle == nullptr) return;
    {
      std::unique_lock lock(mutex);
      changed.wait_for(lock, kFarewell, [this] { return under_way == 0 || !connected; });
    }
    thread = {};
    ::mosquitto_destroy(handle);
  }
  /// Stays connected. The library's own thread would wait for a keep-alive to pass before it sees a refusal.
  void run(const std::stop_token& stop) {
    std::minstd_rand random{std::random_device{}()};
    std::uniform_real_distribution<double> jitter(0.5, 1.0);
    auto backoff = kFirstPause;
    while (!stop.stop_requested()) {
      refusal.clear();
      const auto [code, was_connected] = attempt(stop);
      if (stop.stop_requested()) break;
      if (listener.on_lost) listener.on_lost(lost(refusal.empty() ? reason(code) : refusal));
      if (was_connected) backoff = kFirstPause;
      std::unique_lock lock(mutex);
      changed.wait_for(lock, stop, std::chrono::duration_cast<std::chrono::milliseconds>(backoff * jitter(random)),
                       [] { return false; });
      backoff = std::min(2 * backoff, kLongestPause);
    }
    ::mosquitto_disconnect(handle);
    ::mosquitto_loop(handle, 0, 1);
  }
  /// One connection, from its beginning to its end: why it ended, and whether the broker had taken it.
  std::pair<int, bool> attempt(const std::stop_token& stop) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    bool was_connected = false;
    int code = ::mosquitto_connect_async(handle, options.host.c_str(), options.port, kKeepAlive_s);
    while (code == MOSQ_ERR_SUCCESS && !stop.stop_requested()) {
      code = ::mosquitto_loop(handle, kLoop_ms, 1);
      was_connected = was_connected || is_connected();
      if (!was_connected && std::chrono::steady_clock::now() > deadline) code = MOSQ_ERR_KEEPALIVE;
    }
    if (!stop.stop_requested()) disconnected();
    return {code, was_connected};
  }
  static std::string reason(int code) {
    switch (code) {
      case MOSQ_ERR_ERRNO: return std::strerror(errno);
      case MOSQ_ERR_KEEPALIVE: return "no answer";
      default: return ::mosquitto_strerror(code);
    }
  }
  bool is_connected() const {
    const std::lock_guard lock(mutex);
    return connected;
  }
  Error lost(std::string_view why) const {
    return Error(ErrorCode::unavailable, "VRG-MQT-004",
                 fmt::format("no connection with the MQTT broker {}:{}: {}; it is tried again", options.host,
                             options.port, why));
  }
  void connected_or_not(int code) {
    {
      const std::lock_guard lock(mutex);
      connected = code == 0;
    }
    changed.notify_all();
    if (code != 0) refusal = ::mosquitto_connack_string(code);
    if (code != 0) return;
    if (options.subscription) {
      ::mosquitto_subscribe(handle, nullptr, options.subscription->filter.c_str(), options.subscription->qos);
    }
    if (listener.on_connected) listener.on_connected();
  }
  void disconnected() {
    {
      const std::lock_guard lock(mutex);
      connected = false;
    }
    changed.notify_all();
  }
  void subscribed(int granted) {
    if (granted <= 2 || !listener.on_lost) return;
    listener.on_lost(Error(ErrorCode::permission_denied, "VRG-MQT-005",
                           fmt::format("the MQTT broker {}:{} refuses the subscription to '{}'; ask who looks after it",
                                       options.host, options.port, options.subscription->filter)));
  }
  void published() {
    {
      const std::lock_guard lock(mutex);
      if (under_way > 0) --under_way;
      ++acknowledged;
    }
    changed.notify_all();
  }
  void received(const struct mosquitto_message& message) {
    const auto size = static_cast<std::size_t>(message.payloadlen);
    if (size > options.max_payload_bytes) {
      if (listener.on_lost) {
        listener.on_lost(Error(ErrorCode::resource_exhausted, "VRG-MQT-006",
                               fmt::format("a message of '{}' has {} bytes, expected at most {}; it is passed over",
                                           message.topic, size, options.max_payload_bytes)));
      }
      return;
    }
    if (listener.on_message) {
      listener.on_message(message.topic, std::span(static_cast<const std::byte*>(message.payload), size));
    }
  }
  void listen() const {
    ::mosquitto_connect_callback_set(
        handle, [](struct mosquitto*, void* self, int code) { static_cast<State*>(self)->connected_or_not(code); });
    ::mosquitto_disconnect_callback_set(
        handle, [](struct mosquitto*, void* self, int) { static_cast<State*>(self)->disconnected(); });
    ::mosquitto_subscribe_callback_set(handle, [](struct mosquitto*, void* self, int, int count, const int* granted) {
      if (count > 0) static_cast<State*>(self)->subscribed(*granted);
    });
    ::mosquitto_publish_callback_set(
        handle, [](struct mosquitto*, void* self, int) { static_cast<State*>(self)->published(); });
    ::mosquitto_message_callback_set(handle,
                                     [](struct mosquitto*, void* self, const struct mosquitto_message* message) {
                                       static_cast<State*>(self)->received(*message);
                                     });
  }
  int secure() const {
    if (!options.tls) return MOSQ_ERR_SUCCESS;
    const bool system = options.tls->authority.empty();
    return ::mosquitto_tls_set(handle, or_null(options.tls->authority), system ? kSystemAuthorities : nullptr,
                               or_null(options.tls->certificate), or_null(options.tls->key), nullptr);
  }
};

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::start(const Options& options, Listener listener) {
  std::unique_ptr<Client> client(new Client(std::make_unique<State>()));
  State& s = *client->state_;
  s.options = options;
  s.listener = std::move(listener);
  const auto refuse = [&](int code) {
    return Error(
        ErrorCode::invalid_argument, "VRG-MQT-001",
        fmt::format("the MQTT client '{}' for {}:{} cannot be made: {}; check its name, topic, files and rights",
                    options.client_id, options.host, options.port,
                    code == MOSQ_ERR_ERRNO ? std::strerror(errno) : ::mosquitto_strerror(code)));
  };
  if (options.subscription && ::mosquitto_sub_topic_check(options.subscription->filter.c_str()) != MOSQ_ERR_SUCCESS) {
    return refuse(MOSQ_ERR_INVAL);
  }
  s.handle = ::mosquitto_new(options.client_id.c_str(), !options.keep_session, &s);
  if (s.handle == nullptr) return refuse(MOSQ_ERR_ERRNO);
  s.listen();
  ::mosquitto_max_inflight_messages_set(s.handle, static_cast<unsigned>(options.max_unacknowledged));
  if (!options.user.empty()) {
    ::mosquitto_username_pw_set(s.handle, options.user.c_str(), or_null(options.password));
  }
  if (const int code = s.secure(); code != MOSQ_ERR_SUCCESS) return refuse(code);
  ::mosquitto_threaded_set(s.handle, true);
  s.thread = std::jthread([&s](const std::stop_token& stop) { s.run(stop); });
  return client;
}

Result<void> Client::publish(const std::string& topic, std::string_view payload, int qos, bool retain,
                             const std::stop_token& stop) {
  State& s = *state_;
  {
    std::unique_lock lock(s.mutex);
    const bool room =
        s.changed.wait(lock, stop, [&s] { return s.under_way < s.options.max_unacknowledged && s.connected; });
    if (!room) return Error(ErrorCode::cancelled, "VRG-MQT-002", "stopped before the message could be sent");
    ++s.under_way;
  }
  const int code = ::mosquitto_publish(s.handle, nullptr, topic.c_str(), static_cast<int>(payload.size()),
                                       payload.data(), qos, retain);
  // Without a connection it is kept, and sent with the next one.
  if (code == MOSQ_ERR_SUCCESS || (code == MOSQ_ERR_NO_CONN && qos > 0)) return {};
  {
    const std::lock_guard lock(s.mutex);
    --s.under_way;
  }
  if (code == MOSQ_ERR_NO_CONN || code == MOSQ_ERR_CONN_LOST) return publish(topic, payload, qos, retain, stop);
  return Error(ErrorCode::invalid_argument, "VRG-MQT-003",
               fmt::format("cannot publish {} bytes to '{}': {}", payload.size(), topic, ::mosquitto_strerror(code)));
}

bool Client::connected() const {
  const std::lock_guard lock(state_->mutex);
  return state_->connected;
}

std::int64_t Client::acknowledged() const {
  const std::lock_guard lock(state_->mutex);
  return state_->acknowledged;
}

}  // namespace verge::mqtt
