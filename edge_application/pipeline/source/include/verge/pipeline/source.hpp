// Source: where samples come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/image.hpp"

namespace verge::pipeline {

/// One sample: a picture as a file's bytes, or a decoded frame (valid until the source's next one).
struct Sample {
  std::string name;                ///< File name, or the video's or camera's name.
  std::int64_t index = 0;          ///< From 0, counting every sample that the source had, also dropped ones.
  std::vector<std::byte> encoded;  ///< Empty when `frame` holds the picture. Kept between samples.
  processing::ImageView frame;
};

/// Gives samples one after the other. Used by one thread.
class Source {
 public:
  Source() = default;
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// Waits for the next sample and puts it into `sample`. False: there are no more, or `stop` was requested. An error
  /// concerns this sample (then the next call goes on) unless ended() says so.
  virtual Result<bool> next(Sample& sample, const std::stop_token& stop) = 0;
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

}  // namespace verge::pipeline
