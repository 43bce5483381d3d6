// Predictions as lines of JSON: whole ones, or none.
#include "verge/pipeline/sink.hpp"

#include <sys/resource.h>
#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "../model/fake_package.hpp"

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
    const auto prediction = worker_.predict_encoded(processing::test::picture(16, 16, 0, {255}));
    EXPECT_TRUE(prediction);
    return sink.put({sample, **prediction, worker_});
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
  EXPECT_EQ(found[0]["model"], "classifier");
  EXPECT_EQ(found[0]["version"], "1.0.0");
  EXPECT_EQ(found[0]["engine"], "fake");
  EXPECT_EQ(found[0]["classes"][0]["label"], "cat");
  for (const char* stage : {"decode", "preprocess", "infer", "postprocess"}) {
    EXPECT_TRUE(found[0]["latency_ms"][stage].is_number()) << stage;
  }
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
