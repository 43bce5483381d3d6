#include "verge/pipeline/video_part.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>

struct verge_video {
  cv::VideoCapture capture;
};
struct verge_video_picture {
  cv::Mat pixels;
};
struct verge_video_writer {
  cv::VideoWriter writer;
  cv::Size size;
  cv::Mat scaled;
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
      constexpr int kPatience_ms = 5000;
      video->capture.open(path, cv::CAP_FFMPEG,
                          {cv::CAP_PROP_OPEN_TIMEOUT_MSEC, kPatience_ms, cv::CAP_PROP_READ_TIMEOUT_MSEC, kPatience_ms});
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

verge_video_picture* new_picture() noexcept {
  try {
    return std::make_unique<verge_video_picture>().release();
  } catch (const std::exception&) {
    return nullptr;
  }
}

void delete_picture(verge_video_picture* picture) noexcept {
  delete picture;
}

int take_frame(verge_video* video, verge_video_picture* picture, verge_video_frame* frame, char* message,
               std::size_t size) noexcept {
  try {
    cv::Mat& pixels = picture->pixels;
    if (!video->capture.retrieve(pixels) || pixels.empty()) {
      write_message(message, size, "a frame cannot be decoded");
      return -1;
    }
    if (pixels.type() != CV_8UC3) {
      write_message(message, size, "frames are not 8-bit colour");
      return -1;
    }
    *frame = {pixels.data, pixels.cols, pixels.rows, pixels.step[0]};
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

verge_video_writer* create_video(const char* path, double rate, int width, int height, char* message,
                                 std::size_t size) noexcept {
  try {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    const bool avi = std::string_view(path).ends_with(".avi");
    const int codec = avi ? cv::VideoWriter::fourcc('M', 'J', 'P', 'G') : cv::VideoWriter::fourcc('m', 'p', '4', 'v');
    auto video = std::make_unique<verge_video_writer>();
    video->size = cv::Size(width & ~1, height & ~1);
    if (!video->writer.open(path, cv::CAP_FFMPEG, codec, rate, video->size)) {
      write_message(message, size, "it cannot be written there, or has no encoder");
      return nullptr;
    }
    return video.release();
  } catch (const std::exception& error) {
    write_message(message, size, error.what());
    return nullptr;
  }
}

int write_frame(verge_video_writer* video, const verge_video_frame* frame) noexcept {
  try {
    // The writer only reads; OpenCV has no view of constant pixels.
    cv::Mat pixels(frame->height, frame->width, CV_8UC3, const_cast<std::uint8_t*>(frame->data), frame->stride_bytes);
    if (pixels.size() != video->size) {
      cv::resize(pixels, video->scaled, video->size, 0, 0, cv::INTER_AREA);
      pixels = video->scaled;
    }
    video->writer.write(pixels);
    return 1;
  } catch (const std::exception&) {
    return 0;
  }
}

void finish_video(verge_video_writer* video) noexcept {
  delete video;
}

constexpr verge_video_part kPart{2,          open_video, close_video,  frames_per_second, new_picture, delete_picture,
                                 skip_frame, take_frame, rewind_video, create_video,      write_frame, finish_video};

}  // namespace

extern "C" const verge_video_part* verge_video_part_entry(void) {
  return &kPart;
}
