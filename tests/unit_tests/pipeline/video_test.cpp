// Videos and cameras, behind a part that may be missing.
#include <array>
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/pipeline/source.hpp"
#include "verge/pipeline/video_part.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// Sets VERGE_PART_PATH for one test.
class PartPath {
 public:
  explicit PartPath(const std::string& path) { ::setenv("VERGE_PART_PATH", path.c_str(), 1); }
  ~PartPath() { ::unsetenv("VERGE_PART_PATH"); }
  PartPath(const PartPath&) = delete;
  PartPath& operator=(const PartPath&) = delete;
};

TEST(Videos, AMissingPartIsNamed) {
  const PartPath nowhere("/nonexistent");
  const auto folder = TemporaryFolder::create("verge_video");
  ASSERT_TRUE(write_file(folder->path() / "a.mp4", std::string_view("x")));
  const auto video = video_source(folder->path() / "a.mp4", {});
  ASSERT_FALSE(video);
  EXPECT_EQ(video.error().id(), "VRG-SRC-002");
  EXPECT_EQ(video.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(video.error().message(), HasSubstr("/nonexistent/libverge_part_video.so"));
  const auto camera = camera_source(0, 0, 0);
  ASSERT_FALSE(camera);
  EXPECT_EQ(camera.error().id(), "VRG-SRC-002");
}

TEST(Videos, AFileThatIsNotThere) {
  const auto video = video_source("/nonexistent.mp4", {});
  ASSERT_FALSE(video);
  EXPECT_EQ(video.error().code(), ErrorCode::not_found);
}

TEST(Videos, WhatIsNoVideo) {
  const auto folder = TemporaryFolder::create("verge_video");
  ASSERT_TRUE(write_file(folder->path() / "a.mp4", std::string_view("this is no video")));
  const auto video = video_source(folder->path() / "a.mp4", {});
  ASSERT_FALSE(video);
  EXPECT_EQ(video.error().id(), "VRG-SRC-003");
  EXPECT_EQ(video.error().code(), ErrorCode::invalid_argument);
}

TEST(Videos, ACameraThatIsNotThere) {
  const auto camera = camera_source(250, 640, 480);
  ASSERT_FALSE(camera);
  EXPECT_EQ(camera.error().id(), "VRG-SRC-003");
  EXPECT_THAT(camera.error().message(), HasSubstr("/dev/video250"));
}

TEST(Videos, FramesOfOtherSizesAreScaledToTheFirst) {
  const auto folder = TemporaryFolder::create("verge_video");
  const auto file = folder->path() / "a.avi";
  const auto part = load_video_part();
  ASSERT_TRUE(part) << part.error().text();
  std::array<char, 512> message{};
  auto* writer = (*part)->create(file.c_str(), 10, 33, 17, message.data(), message.size());
  ASSERT_NE(writer, nullptr) << message.data();
  for (const auto& [width, height] : {std::pair(33, 17), std::pair(64, 48), std::pair(16, 16)}) {
    const std::size_t stride_bytes = static_cast<std::size_t>(width) * 3 + 5;
    const std::vector<std::uint8_t> pixels(stride_bytes * static_cast<std::size_t>(height), 200);
    const verge_video_frame frame{pixels.data(), width, height, stride_bytes};
    EXPECT_EQ((*part)->write(writer, &frame), 1);
  }
  (*part)->finish(writer);
  auto video = video_source(file, {});
  ASSERT_TRUE(video) << video.error().text();
  Sample sample;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(*(*video)->next(sample, {})) << i;
    EXPECT_EQ(sample.frame.width, 32);
    EXPECT_EQ(sample.frame.height, 16);
    EXPECT_NEAR(sample.frame.data[0], 200, 8);
  }
}

TEST(Videos, EveryFrameOfAVideoAndThenTheEnd) {
  VERGE_TEST_DATA_OR_SKIP(data);
  auto video = video_source(data / "video" / "bikes.mp4", {});
  ASSERT_TRUE(video) << video.error().text();
  Sample sample;
  std::int64_t frames = 0;
  while (true) {
    const auto more = (*video)->next(sample, {});
    ASSERT_TRUE(more) << more.error().text();
    if (!*more) break;
    EXPECT_EQ(sample.index, frames++);
    EXPECT_TRUE(sample.encoded.empty());
    EXPECT_EQ(sample.frame.format, processing::PixelFormat::bgr);
    ASSERT_GT(sample.frame.width, 0);
    EXPECT_EQ(sample.name, "bikes.mp4");
  }
  EXPECT_GT(frames, 50);
  EXPECT_TRUE((*video)->ended());
  EXPECT_EQ((*video)->dropped(), 0);
  EXPECT_FALSE(*(*video)->next(sample, {}));

  auto again = video_source(data / "video" / "bikes.mp4", {.loop = true});
  ASSERT_TRUE(again);
  for (std::int64_t i = 0; i < frames + 3; ++i) ASSERT_TRUE(*(*again)->next(sample, {})) << i;
  EXPECT_EQ(sample.index, frames + 2);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(*(*again)->next(sample, stop.get_token()));
}

TEST(Videos, APacedVideoKeepsItsRateAndDropsWhatIsLate) {
  VERGE_TEST_DATA_OR_SKIP(data);
  auto video = video_source(data / "video" / "bikes.mp4", {.loop = true, .paced = true});
  ASSERT_TRUE(video);
  Sample sample;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(*(*video)->next(sample, {}));
  EXPECT_GT(std::chrono::steady_clock::now() - start, 100ms);
  std::this_thread::sleep_for(400ms);
  ASSERT_TRUE(*(*video)->next(sample, {}));
  EXPECT_GT((*video)->dropped(), 3);
  EXPECT_GE(sample.index, 6 + (*video)->dropped());
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  stopper.join();
  EXPECT_FALSE(*(*video)->next(sample, stop.get_token()));
}

}  // namespace
}  // namespace verge::pipeline
