#include "video_part.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/videoio.hpp>

struct verge_video {
  cv::VideoCapture capture;
  cv::Mat frame;
};

namespace {

void write_message(char* message, std::size_t size, std::string_view text) noexcept {
  if (message == nullptr || size == 0) return;
  const std::size_t length = std::min(text.size(), size - 1);
  std::memcpy(message, text.data(), length);
  message[length] = '\0';
}

verge_video* open_video(const char* path, int device, int width, int height, char* message, std::size_t size) noexcept {
  try {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    auto video = std::make_unique<verge_video>();
    if (path != nullptr) {
      video->capture.open(path, cv::CAP_FFMPEG);
    } else {
      video->capture.open(device, cv::CAP_V4L2);
    }
    if (!video->capture.isOpened()) {
      write_message(message, size, path != nullptr ? "no decoder for it: not a video, or damaged" : "no such camera");
      return nullptr;
    }
    if (path == nullptr && width > 0) video->capture.set(cv::CAP_PROP_FRAME_WIDTH, width);
    if (path == nullptr && height > 0) video->capture.set(cv::CAP_PROP_FRAME_HEIGHT, height);
    return video.release();
  } catch (const std::exception& error) {
    write_message(message, size, error.what());
    return nullptr;
  }
}

void close_video(verge_video* video) noexcept {
  delete video;
}

double frames_per_second(const verge_video* video) noexcept {
  try {
    const double rate = video->capture.get(cv::CAP_PROP_FPS);
    return rate > 0 && rate < 1000 ? rate : 0;
  } catch (const std::exception&) {
    return 0;
  }
}

int read_frame(verge_video* video, verge_video_frame* frame, char* message, std::size_t size) noexcept {
  try {
    if (!video->capture.read(video->frame) || video->frame.empty()) return 0;
    if (video->frame.type() != CV_8UC3) {
      write_message(message, size, "frames are not 8-bit colour");
      return -1;
    }
    *frame = {video->frame.data, video->frame.cols, video->frame.rows, video->frame.step[0]};
    return 1;
  } catch (const std::exception& error) {
    write_message(message, size, error.what());
    return -1;
  }
}

int skip_frame(verge_video* video) noexcept {
  try {
    return video->capture.grab() ? 1 : 0;
  } catch (const std::exception&) {
    return 0;
  }
}

int rewind_video(verge_video* video) noexcept {
  try {
    return video->capture.set(cv::CAP_PROP_POS_FRAMES, 0) ? 1 : 0;
  } catch (const std::exception&) {
    return 0;
  }
}

constexpr verge_video_part kPart{1, open_video, close_video, frames_per_second, read_frame, skip_frame, rewind_video};

}  // namespace

extern "C" const verge_video_part* verge_video_part_entry(void) {
  return &kPart;
}
