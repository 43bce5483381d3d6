// MQTT client (3.1.1): stays connected by itself, in a thread of its own. https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"

namespace verge::mqtt {

/// Paths of PEM files; empty ones are not used.
struct Tls {
  std::string authority;  ///< Empty: the system's.
  std::string certificate;
  std::string key;
};

struct Subscription {
  std::string filter;
  int qos = 1;
};

/// Told of what happens, on the client's thread, which must not be kept waiting.
struct Listener {
  std::function<void(std::string_view topic, std::span<const std::byte> payload)> on_message;
  std::function<void()> on_connected;
  std::function<void(const Error&)> on_lost;  ///< Also when a first connection fails. It is tried again.
};

struct Options {
  std::string host;
  std::uint16_t port = 1883;
  std::string client_id;      ///< The broker ends an older connection of the same name.
  bool keep_session = false;  ///< The broker keeps subscriptions and their messages while we are away.
  std::string user;
  std::string password;
  std::optional<Tls> tls;
  std::optional<Subscription> subscription;
  std::size_t max_unacknowledged = 20;
  std::size_t max_payload_bytes = std::size_t{64} << 20U;  ///< Larger messages are passed over, and told by on_lost.
};

/// Thread-safe.
class Client {
 public:
  /// Begins to connect, and goes on by itself: capped exponential backoff, up to 10 s. Errors: invalid_argument
  /// (VRG-MQT-001: an option that cannot be; the certificates cannot be read).
  static Result<std::unique_ptr<Client>> start(const Options& options, Listener listener);
  /// Waits up to a second for what is not acknowledged yet.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Takes the message over and sends it, again after each reconnection, until it is acknowledged. Waits while
  /// `max_unacknowledged` are under way. Errors: cancelled (VRG-MQT-002) once `stop` is requested; invalid_argument
  /// (VRG-MQT-003: not a topic, or too large).
  Result<void> publish(const std::string& topic, std::string_view payload, int qos, bool retain,
                       const std::stop_token& stop);
  [[nodiscard]] bool connected() const;
  /// Messages that the broker has acknowledged (or, with QoS 0, that were sent).
  [[nodiscard]] std::int64_t acknowledged() const;

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace verge::mqtt
