#include <array>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "verge/pipeline/source.hpp"
#include "verge/pipeline/video_part.hpp"

namespace verge::pipeline {
namespace {

using Clock = std::chrono::steady_clock;
using Message = std::array<char, 512>;

class VideoSource final : public Source {
 public:
  VideoSource(const verge_video_part* part, verge_video* video, std::string name, VideoOptions options)
      : part_(part), video_(video), name_(std::move(name)), options_(options) {
    const double rate = part_->frames_per_second(video_);
    if (options_.paced && rate > 0) period_ = std::chrono::duration<double>(1.0 / rate);
  }
  ~VideoSource() override { part_->close(video_); }

  Result<bool> advance(const std::stop_token& stop) override {
    if (ended_ || stop.stop_requested() || !keep_pace(stop)) return false;
    bool got = part_->skip(video_) == 1;
    if (!got && options_.loop && index_ > 0 && part_->rewind(video_) == 1) got = part_->skip(video_) == 1;
    ended_ = !got;
    if (got) ++index_;
    return got;
  }
  Result<void> load(Sample& sample) override {
    if (sample.memory == nullptr) {
      sample.memory = std::shared_ptr<verge_video_picture>(part_->new_picture(), part_->delete_picture);
    }
    verge_video_frame frame{};
    Message message{};
    if (part_->take(video_, static_cast<verge_video_picture*>(sample.memory.get()), &frame, message.data(),
                    message.size()) != 1) {
      ended_ = true;
      return Error(ErrorCode::data_loss, "VRG-SRC-003", fmt::format("'{}': {}", name_, message.data()));
    }
    sample.name = name_;
    sample.index = index_ - 1;
    sample.encoded.clear();
    sample.frame = {frame.data, frame.width, frame.height, frame.stride_bytes, processing::PixelFormat::bgr};
    sample.stamp();
    return {};
  }
  [[nodiscard]] bool ended() const noexcept override { return ended_; }
  [[nodiscard]] std::int64_t dropped() const noexcept override { return dropped_; }

 private:
  /// Waits until the next frame is due, or passes over those that are overdue. False: stopped.
  bool keep_pace(const std::stop_token& stop) {
    if (period_.count() <= 0) return true;
    if (index_ == 0) start_ = Clock::now();
    const auto due = [this] { return start_ + std::chrono::duration_cast<Clock::duration>(period_ * index_); };
    bool rewound = false;
    while (Clock::now() > due() + period_) {
      if (part_->skip(video_) == 0) {
        if (!options_.loop || rewound || part_->rewind(video_) != 1) break;
        rewound = true;  // A video that gives nothing even from its start must not hold us here.
        continue;
      }
      rewound = false;
      ++index_;
      ++dropped_;
    }
    while (Clock::now() < due()) {
      if (stop.stop_requested()) return false;
      std::this_thread::sleep_for(std::min<Clock::duration>(due() - Clock::now(), std::chrono::milliseconds(50)));
    }
    return true;
  }

  const verge_video_part* part_;
  verge_video* video_;
  std::string name_;
  VideoOptions options_;
  std::chrono::duration<double> period_{0};
  Clock::time_point start_;
  std::int64_t index_ = 0;
  std::int64_t dropped_ = 0;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<Source>> video_source(const std::filesystem::path& file, const VideoOptions& options) {
  std::error_code failed;
  if (!std::filesystem::exists(file, failed)) {
    return Error(ErrorCode::not_found, "VRG-SRC-001",
                 fmt::format("expected a video at '{}', where there is nothing; check the path", file.string()));
  }
  VERGE_ASSIGN(const verge_video_part* part, load_video_part());
  Message message{};
  verge_video* video = part->open(file.c_str(), 0, 0, 0, message.data(), message.size());
  if (video == nullptr) {
    return Error(
        ErrorCode::invalid_argument, "VRG-SRC-003",
        fmt::format("cannot open the video '{}': {}; try it with another player", file.string(), message.data()));
  }
  return std::unique_ptr<Source>(std::make_unique<VideoSource>(part, video, file.filename().string(), options));
}

Result<std::unique_ptr<Source>> stream_source(const std::string& url, const std::string& address) {
  VERGE_ASSIGN(const verge_video_part* part, load_video_part());
  Message message{};
  verge_video* video = part->open(address.c_str(), 0, 0, 0, message.data(), message.size());
  if (video == nullptr) {
    return Error(ErrorCode::unavailable, "VRG-SRC-003",
                 fmt::format("cannot open '{}' within five seconds; check the address, user and password, and that "
                             "this device reaches it",
                             url));
  }
  return std::unique_ptr<Source>(std::make_unique<VideoSource>(part, video, url, VideoOptions{}));
}

Result<std::unique_ptr<Source>> camera_source(int device, int width, int height) {
  VERGE_ASSIGN(const verge_video_part* part, load_video_part());
  Message message{};
  verge_video* video = part->open(nullptr, device, width, height, message.data(), message.size());
  if (video == nullptr) {
    return Error(ErrorCode::unavailable, "VRG-SRC-003",
                 fmt::format("cannot open camera {} (/dev/video{}): {}; check that it is plugged in and that you may "
                             "read it (group 'video')",
                             device, device, message.data()));
  }
  return std::unique_ptr<Source>(
      std::make_unique<VideoSource>(part, video, fmt::format("camera{}", device), VideoOptions{}));
}

}  // namespace verge::pipeline
