// Isolation: an engine in a process of its own answers as one in this process, and only itself is lost with it.
#include <array>
#include <chrono>
#include <fstream>
#include <optional>
#include <thread>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/processing/engine.hpp"

namespace verge::processing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class IsolationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto folder = TemporaryFolder::create("verge_isolation");
    ASSERT_TRUE(folder);
    folder_.emplace(std::move(*folder));
    options_.format = "fake";
    options_.isolation.emplace();
  }
  Result<std::shared_ptr<Session>> load(const std::string& function) {
    return load_text("input x INT32 [2] 0.5 3\noutput y INT32 [2]\nfunction " + function + "\n");
  }
  Result<std::shared_ptr<Session>> load_text(const std::string& content) {
    const auto path = folder_->path() / "model.fake";
    std::ofstream(path) << "verge-fake 1\n" << content;
    return catalogue_.load("fake", path, options_);
  }
  static void fill(Request& request, std::array<std::int32_t, 2> values) {
    std::ranges::copy(values, request.input(0).as<std::int32_t>().begin());
  }
  static std::string failure(const Result<void>& result) { return result ? "it ran" : result.error().text(); }

  EngineCatalogue catalogue_{default_engine_folder()};
  std::optional<TemporaryFolder> folder_;
  SessionOptions options_;
};

TEST_F(IsolationTest, AnswersAsAnEngineInThisProcess) {
  auto session = load("identity");
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_EQ((*session)->engine(), "fake");
  EXPECT_EQ((*session)->engine_version(), "1.0.0");
  const TensorSpec expected{"x", DataType::int32, {2}, Quantisation{0.5F, 3}};
  ASSERT_EQ((*session)->inputs().size(), 1U);
  EXPECT_EQ((*session)->inputs()[0], expected);
  auto request = (*session)->create_request();
  ASSERT_TRUE(request) << request.error().text();
  for (int i = 0; i < 100; ++i) {
    fill(*request, {i, -i});
    ASSERT_TRUE(request->run());
    EXPECT_THAT(request->output(0).as<std::int32_t>(), ElementsAre(i, -i));
  }
  EXPECT_EQ((*session)->restarts(), 0U);
}

TEST_F(IsolationTest, RequestsRunSideBySide) {
  auto session = load("identity\ndelay_ms 100");
  ASSERT_TRUE(session) << session.error().text();
  std::vector<Request> requests;
  for (int i = 0; i < 4; ++i) requests.push_back(std::move(*(*session)->create_request()));
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (auto& request : requests) threads.emplace_back([&request] { EXPECT_TRUE(request.run()); });
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 350ms) << "four times 100 ms, one after the other, take 400";
}

TEST_F(IsolationTest, ShapesAreSetAsUsual) {
  auto session = load_text("input x FP32 [-1,-1]\noutput y FP32 [-1,-1]\nfunction identity\n");
  ASSERT_TRUE(session) << session.error().text();
  auto request = (*session)->create_request();
  ASSERT_TRUE(request);
  EXPECT_THAT(failure(request->run()), HasSubstr("set its shape first"));
  for (const std::int64_t width : {3, 1000, 2}) {
    ASSERT_TRUE(request->set_input_shape(0, std::array<std::int64_t, 2>{2, width}));
    const auto values = request->input(0).as<float>();
    ASSERT_EQ(values.size(), static_cast<std::size_t>(2 * width));
    std::ranges::fill(values, 7.0F);
    ASSERT_TRUE(request->run());
    EXPECT_THAT(request->output(0).shape, ElementsAre(2, width));
    EXPECT_THAT(request->output(0).as<float>(), ::testing::Each(7.0F));
  }
  EXPECT_THAT(failure(request->set_input_shape(0, std::array<std::int64_t, 1>{2})), HasSubstr("VRG-ENG-010"));
}

TEST_F(IsolationTest, AModelThatCannotBeLoadedSaysWhyOnce) {
  const auto session = load("nonsense");
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code(), ErrorCode::data_loss);
  EXPECT_THAT(session.error().message(), HasSubstr("unknown function 'nonsense'"));
  const auto first = session.error().message().find("model.fake");
  EXPECT_EQ(session.error().message().find("model.fake", first + 1), std::string::npos) << session.error().message();

  options_.isolation->program = "/nowhere/worker";
  EXPECT_THAT(load("identity").error().text(), HasSubstr("cannot start '/nowhere/worker'"));
  EXPECT_EQ(catalogue_.load("fakir", "/x", options_).error().id(), "VRG-ENG-001");
}

TEST_F(IsolationTest, ACrashIsTheModelsOwnAndTheInputOutlivesIt) {
  auto session = load("crash_after 1");
  ASSERT_TRUE(session);
  auto request = (*session)->create_request();
  ASSERT_TRUE(request);
  fill(*request, {5, 6});
  ASSERT_TRUE(request->run());
  EXPECT_THAT(failure(request->run()), HasSubstr("the model's process ended by signal 6 (Aborted) [VRG-ENG-016]"));
  EXPECT_EQ((*session)->restarts(), 0U) << "not before it is needed again";
  ASSERT_TRUE(request->run());
  EXPECT_EQ((*session)->restarts(), 1U);
  EXPECT_THAT(request->output(0).as<std::int32_t>(), ElementsAre(5, 6)) << "nobody wrote the input again";
}

TEST_F(IsolationTest, ACrashOfOneRequestCostsTheOthersOneRunAtMost) {
  auto session = load("crash_after 1");
  ASSERT_TRUE(session);
  auto first = (*session)->create_request();
  auto second = (*session)->create_request();
  ASSERT_TRUE(first->run());
  EXPECT_FALSE(first->run());
  fill(*second, {1, 2});
  EXPECT_TRUE(second->run()) << "it was not running: the new process takes it";
  EXPECT_THAT(second->output(0).as<std::int32_t>(), ElementsAre(1, 2));
}

TEST_F(IsolationTest, WhatEndsTooOftenIsGivenUp) {
  options_.isolation->max_restarts = 2;
  auto session = load("crash_after 0");
  ASSERT_TRUE(session);
  auto request = (*session)->create_request();
  for (int i = 0; i < 3; ++i) EXPECT_THAT(failure(request->run()), HasSubstr("signal 6"));
  EXPECT_FALSE((*session)->given_up());
  const auto refused = request->run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(refused.error().message(), HasSubstr("is not started again: it ended more than 2 times within 60 s"));
  EXPECT_TRUE((*session)->given_up());
  EXPECT_EQ((*session)->restarts(), 2U);
}

TEST_F(IsolationTest, ARunThatHangsIsEnded) {
  options_.isolation->run_timeout = 100ms;
  auto session = load("identity\ndelay_ms 60000");
  ASSERT_TRUE(session);
  auto request = (*session)->create_request();
  EXPECT_THAT(failure(request->run()), HasSubstr("the model's process was ended: it took more than 100 ms"));
}

TEST_F(IsolationTest, AProcessThatGrowsPastItsLimitIsEndedBetweenRuns) {
  constexpr std::uint64_t kMebibyte = 1U << 20U;
  options_.isolation->max_memory_bytes = 64 * kMebibyte;
  options_.isolation->max_restarts = 100;
  auto session = load("leak 16\ndelay_ms 30");
  ASSERT_TRUE(session);
  auto request = (*session)->create_request();
  for (int i = 0; i < 40 && (*session)->restarts() == 0; ++i) EXPECT_TRUE(request->run()) << "no answer is lost by it";
  EXPECT_GT((*session)->restarts(), 0U);
}

TEST_F(IsolationTest, TheProcessEndsWithItsSession) {
  auto session = load("identity");
  ASSERT_TRUE(session);
  auto request = (*session)->create_request();
  session->reset();
  EXPECT_TRUE(request->run()) << "the request keeps its session";
}

}  // namespace
}  // namespace verge::processing
