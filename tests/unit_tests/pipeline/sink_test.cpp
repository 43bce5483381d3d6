// Predictions as lines of JSON: whole ones, or none.
#include "verge/pipeline/sink.hpp"

#include <sys/resource.h>
#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "pipeline_fixture.hpp"
#include "verge/pipeline/preview.hpp"

namespace verge::pipeline {
namespace {

using processing::test::failure;
using ::testing::HasSubstr;

class Sinks : public processing::test::WithFakeEngine {
 protected:
  Sinks() : worker_(worker(processing::test::classifier())) {}
  /// Predicts a picture and hands it to the sink.
  Result<void> put(Sink& sink, const std::string& name = "a \"b\".png") {
    Sample sample;
    sample.name = name;
    sample.index = 7;
    sample.encoded = processing::test::picture(16, 16, 0, {255});
    const auto prediction = worker_.predict_encoded(sample.encoded);
    EXPECT_TRUE(prediction);
    std::vector<Finding> findings(1);
    findings[0].name = "classifier";
    findings[0].prediction = **prediction;
    findings[0].times = worker_.times();
    write_json(worker_, findings[0]);
    Picture picture;
    picture.set(sample);
    Event event{"test", sample, picture, findings, {}};
    std::string json;
    append_json(event, json);
    event.json = json;
    return sink.put(event);
  }
  std::vector<nlohmann::json> lines(const std::filesystem::path& file) {
    std::vector<nlohmann::json> found;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) found.push_back(nlohmann::json::parse(line));
    return found;
  }
  processing::Worker worker_;
};

TEST_F(Sinks, OneObjectALine) {
  const auto file = folder() / "deep" / "er" / "out.jsonl";
  auto sink = json_lines_sink(file);
  ASSERT_TRUE(sink) << sink.error().text();
  ASSERT_TRUE(put(**sink));
  ASSERT_TRUE(put(**sink, "second"));
  const auto found = lines(file);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0]["source"], "a \"b\".png");
  EXPECT_EQ(found[0]["frame"], 7);
  const auto& result = found[0]["results"][0];
  EXPECT_EQ(result["model"], "classifier");
  EXPECT_EQ(result["classes"][0]["label"], "cat");
}

TEST_F(Sinks, AppendsToWhatIsThere) {
  const auto file = folder() / "out.jsonl";
  for (int i = 0; i < 3; ++i) {
    auto sink = json_lines_sink(file);
    ASSERT_TRUE(sink);
    ASSERT_TRUE(put(**sink));
  }
  EXPECT_EQ(lines(file).size(), 3U);
}

TEST_F(Sinks, AFullDiskIsAnErrorOfThisLineOnly) {
  auto sink = json_lines_sink("/dev/full");
  ASSERT_TRUE(sink);
  for (int i = 0; i < 2; ++i) {
    const auto written = put(**sink);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code(), ErrorCode::resource_exhausted);
    EXPECT_THAT(written.error().text(), HasSubstr("predictions are lost until then [VRG-SNK-001]"));
  }
}

// A file size limit cuts a line in the middle: what was written of it is taken out again.
TEST_F(Sinks, HalfALineIsTakenBack) {
  const auto file = folder() / "out.jsonl";
  auto sink = json_lines_sink(file);
  ASSERT_TRUE(sink);
  ASSERT_TRUE(put(**sink));
  const auto one = std::filesystem::file_size(file);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{one + one / 2, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto written = put(**sink);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), ErrorCode::unavailable);
  EXPECT_EQ(std::filesystem::file_size(file), one);
  ASSERT_TRUE(put(**sink));
  EXPECT_EQ(lines(file).size(), 2U);
}

TEST_F(Sinks, AFileThatIsFullMakesRoom) {
  const auto file = folder() / "out.jsonl";
  auto sink = json_lines_sink(file, 1);
  ASSERT_TRUE(sink);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(put(**sink, std::to_string(i)));
  ASSERT_EQ(lines(file).size(), 1U);
  EXPECT_EQ(lines(file)[0]["source"], "2");
  EXPECT_EQ(lines(folder() / "out.jsonl.1")[0]["source"], "1");
}

TEST_F(Sinks, AVideoOfWhatWasSeen) {
  const auto file = folder() / "deep" / "out.avi";
  {
    auto sink = video_sink(file, 10);
    ASSERT_TRUE(sink) << sink.error().text();
    for (int i = 0; i < 5; ++i) {
      const auto written = put(**sink);
      ASSERT_TRUE(written) << written.error().text();
    }
  }
  auto video = video_source(file, {});
  ASSERT_TRUE(video) << video.error().text();
  Sample frame;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(*(*video)->next(frame, {})) << i;
  EXPECT_EQ(frame.frame.width, 16);
  EXPECT_FALSE(*(*video)->next(frame, {}));
  auto nowhere = video_sink("/proc/nothing/out.avi", 10);
  ASSERT_TRUE(nowhere);
  EXPECT_THAT(failure(put(**nowhere)), HasSubstr("VRG-SNK-002"));
}

TEST_F(Sinks, APreviewIsDrawnOnlyForThoseWhoLook) {
  const auto preview = std::make_shared<Preview>();
  auto sink = preview_sink(preview, 60, 90);
  ASSERT_TRUE(put(*sink));
  std::vector<Preview::Jpeg> seen;
  preview->next([&](const Preview::Jpeg& jpeg) { seen.push_back(jpeg); });
  EXPECT_TRUE(seen.empty());
  ASSERT_TRUE(put(*sink));
  ASSERT_EQ(seen.size(), 1U);
  processing::ImageDecoder decoder;
  processing::Image image;
  const auto size = decoder.decode(std::as_bytes(std::span(*seen[0])), processing::PixelFormat::rgb, image);
  ASSERT_TRUE(size);
  EXPECT_EQ(*size, (processing::ImageSize{16, 16}));
  preview->next([&](const Preview::Jpeg& jpeg) { seen.push_back(jpeg); });
  sink.reset();
  preview->next([&](const Preview::Jpeg& jpeg) { seen.push_back(jpeg); });
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[1], nullptr);
  EXPECT_EQ(seen[2], nullptr);
}

TEST(Previews, AreBounded) {
  Preview preview;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < Preview::kMostViewers + 5; ++i) {
    preview.next([&refused](const Preview::Jpeg& jpeg) { refused += jpeg == nullptr ? 1U : 0U; });
  }
  EXPECT_EQ(refused, 5U);
  preview.show(std::make_shared<const std::string>("picture"));
  EXPECT_EQ(refused, 5U);
  EXPECT_FALSE(preview.wanted());
}

/// Counts the events that pass.
class Passed final : public Sink {
 public:
  explicit Passed(int& count) : count_(count) {}
  Result<void> put(const Event&) override {
    ++count_;
    return {};
  }

 private:
  int& count_;
};

TEST(Filters, LetThroughWhatIsWanted) {
  int passed = 0;
  auto all = filtered({}, std::make_unique<Passed>(passed));
  ASSERT_TRUE(all->put(test::event_of("cat", 0.1F).event()));
  EXPECT_EQ(passed, 1);
  auto dogs = filtered({.labels = {"dog", "wolf"}, .min_score = 0.5}, std::make_unique<Passed>(passed));
  ASSERT_TRUE(dogs->put(test::event_of("cat", 0.9F).event()));
  ASSERT_TRUE(dogs->put(test::event_of("dog", 0.4F).event()));
  EXPECT_EQ(passed, 1);
  ASSERT_TRUE(dogs->put(test::event_of("wolf", 0.6F).event()));
  EXPECT_EQ(passed, 2);

  processing::Prediction boxes;
  boxes.kind = processing::PredictionKind::boxes;
  boxes.boxes = {{0, 0, 1, 1, 0, 0.9F, "cat"}, {0, 0, 1, 1, 0, 0.8F, "dog"}};
  ASSERT_TRUE(dogs->put(test::MadeEvent(boxes).event()));
  EXPECT_EQ(passed, 3);
  processing::Prediction strange;
  strange.kind = processing::PredictionKind::anomaly;
  auto anomalies = filtered({.labels = {"anomaly"}}, std::make_unique<Passed>(passed));
  ASSERT_TRUE(anomalies->put(test::MadeEvent(strange).event()));
  strange.anomaly.found = true;
  ASSERT_TRUE(anomalies->put(test::MadeEvent(strange).event()));
  EXPECT_EQ(passed, 4);

  auto seldom = filtered({.interval = std::chrono::hours(1)}, std::make_unique<Passed>(passed));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(seldom->put(test::event_of("cat", 1).event()));
  EXPECT_EQ(passed, 5);
}

TEST_F(Sinks, StandardOutput) {
  auto sink = json_lines_sink("-");
  ASSERT_TRUE(sink);
  ::testing::internal::CaptureStdout();
  ASSERT_TRUE(put(**sink));
  const auto line = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(nlohmann::json::parse(line)["frame"], 7);
}

TEST_F(Sinks, WhatCannotBeOpened) {
  EXPECT_THAT(failure(json_lines_sink(folder())), HasSubstr("VRG-SNK-001"));
  ASSERT_TRUE(write_file(folder() / "file", std::string_view("x")));
  EXPECT_THAT(failure(json_lines_sink(folder() / "file" / "out.jsonl")), HasSubstr("check the folder and its rights"));
}

}  // namespace
}  // namespace verge::pipeline
