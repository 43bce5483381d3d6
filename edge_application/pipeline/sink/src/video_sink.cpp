#include <array>

#include <fmt/format.h>

#include "annotation.hpp"
#include "verge/pipeline/sink.hpp"
#include "verge/pipeline/video_part.hpp"

namespace verge::pipeline {
namespace {

class VideoSink final : public Sink {
 public:
  VideoSink(const verge_video_part* part, std::filesystem::path file, double rate)
      : part_(part), file_(std::move(file)), rate_(rate) {}
  ~VideoSink() override {
    if (writer_ != nullptr) part_->finish(writer_);
  }

  Result<void> put(const Event& event) override {
    VERGE_ASSIGN(const auto picture, annotation_.draw(event));
    processing::copy_pixels(picture, processing::PixelFormat::bgr, frame_);
    if (writer_ == nullptr) VERGE_TRY(open());
    const verge_video_frame frame{frame_.row(0), frame_.width(), frame_.height(), frame_.stride_bytes()};
    if (part_->write(writer_, &frame) == 1) return {};
    return Error(ErrorCode::unavailable, "VRG-SNK-002", fmt::format("cannot write to '{}'", file_.string()));
  }

 private:
  Result<void> open() {
    std::error_code failed;
    if (file_.has_parent_path()) std::filesystem::create_directories(file_.parent_path(), failed);
    std::array<char, 512> message{};
    writer_ = part_->create(file_.c_str(), rate_, frame_.width(), frame_.height(), message.data(), message.size());
    if (writer_ != nullptr) return {};
    return Error(ErrorCode::unavailable, "VRG-SNK-002",
                 fmt::format("cannot write the video '{}': {}; check the folder, its rights and the free space",
                             file_.string(), message.data()));
  }
  const verge_video_part* part_;
  std::filesystem::path file_;
  double rate_;
  verge_video_writer* writer_ = nullptr;
  Annotation annotation_;
  processing::Image frame_;
};

}  // namespace

Result<std::unique_ptr<Sink>> video_sink(const std::filesystem::path& file, double frames_per_second) {
  VERGE_ASSIGN(const verge_video_part* part, load_video_part());
  return std::unique_ptr<Sink>(std::make_unique<VideoSink>(part, file, frames_per_second));
}

}  // namespace verge::pipeline
