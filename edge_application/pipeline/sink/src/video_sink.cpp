#include <fmt/format.h>
#include <opencv2/imgproc.hpp>

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
    cv::Mat pixels(frame_.height(), frame_.width(), CV_8UC3, frame_.row(0), frame_.stride_bytes());
    if (pixels.size() != size_) {
      cv::resize(pixels, scaled_, size_, 0, 0, cv::INTER_AREA);
      pixels = scaled_;
    }
    const verge_video_frame frame{pixels.data, pixels.cols, pixels.rows, pixels.step[0]};
    if (part_->write(writer_, &frame) == 1) return {};
    return Error(ErrorCode::unavailable, "VRG-SNK-002", fmt::format("cannot write to '{}'", file_.string()));
  }

 private:
  Result<void> open() {
    std::error_code failed;
    if (file_.has_parent_path()) std::filesystem::create_directories(file_.parent_path(), failed);
    std::array<char, 512> message{};
    // MPEG-4 wants even sides.
    size_ = cv::Size(frame_.width() & ~1, frame_.height() & ~1);
    writer_ = part_->create(file_.c_str(), rate_, size_.width, size_.height, message.data(), message.size());
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
  cv::Mat scaled_;
  cv::Size size_;
};

}  // namespace

Result<std::unique_ptr<Sink>> video_sink(const std::filesystem::path& file, double frames_per_second) {
  VERGE_ASSIGN(const verge_video_part* part, load_video_part());
  return std::unique_ptr<Sink>(std::make_unique<VideoSink>(part, file, frames_per_second));
}

}  // namespace verge::pipeline
