// Source: where samples come from.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/mqtt/client.hpp"
#include "verge/processing/image.hpp"

namespace verge::pipeline {

/// One sample: a picture (or what else the model takes) as a file's bytes, or a decoded frame. Used with one source
/// only, which keeps its memory in it from sample to sample.
struct Sample {
  std::string name;                ///< File name, the video's or camera's name, or the message's topic.
  std::int64_t index = 0;          ///< From 0, counting every sample that the source had, also dropped ones.
  std::vector<std::byte> encoded;  ///< Empty when `frame` holds the picture.
  processing::ImageView frame;     ///< Lies in `memory`.
  std::shared_ptr<void> memory;    ///< The source's own.
  std::chrono::steady_clock::time_point arrived;
  std::chrono::system_clock::time_point time;  ///< When it arrived, for people.
  std::optional<Error> failure{};              ///< It has come but cannot be read; only the name holds.

  void stamp() {
    arrived = std::chrono::steady_clock::now();
    time = std::chrono::system_clock::now();
  }
};

/// Gives samples one after the other. Used by one thread.
class Source {
 public:
  Source() = default;
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// Waits for the next sample. False: there are no more, or `stop` was requested. An error concerns this sample (then
  /// the next call goes on) unless ended() says so.
  virtual Result<bool> advance(const std::stop_token& stop) = 0;
  /// The sample that has come, once; not to call this is to pass it over, which is cheap.
  virtual Result<void> load(Sample& sample) = 0;
  /// Both.
  Result<bool> next(Sample& sample, const std::stop_token& stop);
  /// Whether an error was the last word.
  [[nodiscard]] virtual bool ended() const noexcept { return false; }
  /// Samples that came too late and were left out.
  [[nodiscard]] virtual std::int64_t dropped() const noexcept { return 0; }
};

/// One picture file.
Result<std::unique_ptr<Source>> image_source(const std::filesystem::path& file);

/// The pictures of a folder (.jpg, .jpeg, .png, .bmp in any case) in the order of their names; with `watch`, then those
/// that are written or moved into it, each once. Errors: not_found, invalid_argument (VRG-SRC-001 not a folder).
Result<std::unique_ptr<Source>> folder_source(const std::filesystem::path& folder, bool watch);

/// How to read a video.
struct VideoOptions {
  bool loop = false;
  bool paced = false;  ///< At the video's own rate; frames that come too late are dropped.
};
/// Errors: not_found; unavailable (VRG-SRC-002 the video part is not installed, 003 it cannot be opened).
Result<std::unique_ptr<Source>> video_source(const std::filesystem::path& file, const VideoOptions& options);

/// Camera /dev/videoN; width and height 0: the camera's own. Errors: as video_source().
Result<std::unique_ptr<Source>> camera_source(int device, int width, int height);

/// A video over the network. `url` is what is shown, `address` the same with user and password in it, where it needs
/// them. Opening and reading each take at most five seconds. Errors: as video_source().
Result<std::unique_ptr<Source>> stream_source(const std::string& url, const std::string& address);

/// Told of a source's connection, by the thread that reads it.
struct Connection {
  std::function<void(std::int64_t reconnects)> on_connected;
  std::function<void(const Error&)> on_lost;
};
/// Opens a camera or stream, and opens it again whenever it ends: after 0.25 s at first, up to 10 s, with jitter. Its
/// samples are counted on. Ends only by a stop.
std::unique_ptr<Source> reconnecting_source(std::function<Result<std::unique_ptr<Source>>()> open,
                                            Connection connection);

/// Samples that wait, oldest first. Bounded in number and bytes (64 MiB). Thread-safe.
class SampleQueue {
 public:
  explicit SampleQueue(std::size_t most);
  ~SampleQueue();
  SampleQueue(const SampleQueue&) = delete;
  SampleQueue& operator=(const SampleQueue&) = delete;

  /// Puts a sample in, and gives another's memory back in it; the oldest make room.
  void put(Sample& sample);
  /// A copy of what somebody sent. False when the queue is full and `drop_oldest` is not set.
  bool offer(std::string_view name, std::span<const std::byte> content, bool drop_oldest);
  /// Waits for one. False: closed and empty, or `stop` was requested.
  bool take(Sample& sample, const std::stop_token& stop);
  /// No more will come.
  void close();
  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::int64_t dropped() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What is offered to a queue.
std::unique_ptr<Source> queue_source(std::shared_ptr<SampleQueue> queue);

/// The messages of a broker; at most `queue` wait, the oldest are dropped. Errors: those of mqtt::Client::start().
Result<std::unique_ptr<Source>> mqtt_source(const mqtt::Options& options, std::size_t queue,
                                            const Connection& connection);

}  // namespace verge::pipeline
