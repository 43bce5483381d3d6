// Sink: where events go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/mqtt/client.hpp"
#include "verge/pipeline/event.hpp"
#include "verge/spool/spool.hpp"

namespace verge::pipeline {

/// What became of the events of a sink that sends them later.
struct Deliveries {
  std::int64_t delivered = 0;          ///< The other side has said so.
  std::int64_t dropped = 0;            ///< Given up, for want of room or by a refusal.
  std::int64_t waiting = 0;            ///< Those on their way are a part of them.
  std::optional<spool::Counts> spool;  ///< Of one that keeps events in a spool: over all its restarts.
};

/// Takes events. Used by one thread, but for deliveries().
class Sink {
 public:
  Sink() = default;
  virtual ~Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  /// An error means that this event was not written; the next one may be.
  virtual Result<void> put(const Event& event) = 0;
  [[nodiscard]] virtual Deliveries deliveries() const { return {}; }
};

/// Told of what goes wrong later, on another thread.
using OnSinkError = std::function<void(const Error&)>;

/// Which events a sink gets.
struct Filter {
  std::vector<std::string> labels;  ///< Of the best class, or of any box; anomalies are "anomaly". Empty: all events.
  double min_score = 0;
  std::chrono::duration<double> interval{0};  ///< After one, no other for this time.
};
std::unique_ptr<Sink> filtered(Filter filter, std::unique_ptr<Sink> sink);

/// Appends one JSON object a line to a file ("-": standard output). A line is written whole or not at all. A file that
/// has reached `max_bytes` (0: no limit) becomes FILE.1. Errors: as write_file(); resource_exhausted (VRG-SNK-001) when
/// the disk is full.
Result<std::unique_ptr<Sink>> json_lines_sink(const std::filesystem::path& file, std::uint64_t max_bytes = 0);

/// A video (.avi: Motion JPEG, .mp4 and .mkv: MPEG-4) of the pictures with the findings drawn in. The first picture
/// gives the size; others are scaled to it. Errors: unavailable (VRG-SRC-002); of put(): VRG-SNK-002.
Result<std::unique_ptr<Sink>> video_sink(const std::filesystem::path& file, double frames_per_second);

/// How to send an event to a topic.
struct MqttTopic {
  std::string topic;
  int qos = 1;
  bool retain = false;
  std::size_t queue = 256;  ///< Events that wait; then the oldest is dropped.
  /// Where they wait in place of memory. What is sent has "stream" and "sequence" in front then.
  std::shared_ptr<spool::Spool> spool{};
};
/// An event is delivered when the broker has acknowledged it (with QoS 0: when it was sent). Errors: those of
/// mqtt::Client::start().
Result<std::unique_ptr<Sink>> mqtt_sink(const mqtt::Options& broker, MqttTopic topic, OnSinkError on_error);

struct WebhookOptions {
  std::string url;
  std::filesystem::path token;      ///< File with a bearer token, read again after a 401. Empty: none.
  std::filesystem::path authority;  ///< PEM. Empty: the system's.
  std::chrono::milliseconds timeout{10'000};
  std::size_t queue = 256;  ///< Events that wait; then the oldest is dropped.
  /// As MqttTopic::spool; and the header Idempotency-Key is "<stream>-<sequence>".
  std::shared_ptr<spool::Spool> spool{};
};
/// Errors: invalid_argument (VRG-HTC-008); those of reading the files.
Result<std::unique_ptr<Sink>> webhook_sink(WebhookOptions options, OnSinkError on_error);

}  // namespace verge::pipeline
