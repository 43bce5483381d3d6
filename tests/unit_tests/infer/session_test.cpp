#include <fstream>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/processing/engine.hpp"

namespace verge::processing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto folder = TemporaryFolder::create("verge_session");
    ASSERT_TRUE(folder);
    folder_.emplace(std::move(*folder));
    options_.format = "fake";
  }
  std::filesystem::path write(const std::string& content) const {
    const auto path = folder_->path() / "model.fake";
    std::ofstream(path) << content;
    return path;
  }
  Result<std::shared_ptr<Session>> load(const std::string& content) {
    return catalogue_.load("fake", write(content), options_);
  }

  EngineCatalogue catalogue_{default_engine_folder()};
  std::optional<TemporaryFolder> folder_;
  SessionOptions options_;
};

constexpr const char* kIdentity =
    "verge-fake 1\ninput x UINT8 [1,2] 0.5 128\noutput y UINT8 [1,2] 0.25 3\nfunction identity\n";
constexpr const char* kVariable = "verge-fake 1\ninput x FP32 [1,-1]\noutput y FP32 [1,-1]\nfunction identity\n";

TEST_F(SessionTest, DescribesAndRuns) {
  auto session = load(kIdentity);
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_EQ((*session)->engine(), "fake");
  EXPECT_EQ((*session)->engine_version(), "1.0.0");
  ASSERT_EQ((*session)->inputs().size(), 1U);
  const TensorSpec expected{"x", DataType::uint8, {1, 2}, Quantisation{0.5F, 128}};
  EXPECT_EQ((*session)->inputs()[0], expected);
  auto request = (*session)->create_request();
  ASSERT_TRUE(request) << request.error().text();
  session->reset();  // The request keeps the session alive.
  request->input(0).as<std::uint8_t>()[0] = 42;
  request->input(0).as<std::uint8_t>()[1] = 7;
  ASSERT_TRUE(request->run());
  EXPECT_THAT(request->output(0).as<std::uint8_t>(), ElementsAre(42, 7));
  EXPECT_EQ(request->outputs().size(), 1U);
  Request moved = std::move(*request);
  EXPECT_TRUE(moved.run());
}

TEST_F(SessionTest, VariableShapeIsSetFirst) {
  auto session = load(kVariable);
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_THAT((*session)->inputs()[0].shape, ElementsAre(1, -1));
  auto request = (*session)->create_request();
  ASSERT_TRUE(request) << request.error().text();
  EXPECT_EQ(request->input(0).data, nullptr);
  EXPECT_THAT(request->input(0).shape, ElementsAre(1, -1));
  const auto early = request->run();
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code(), ErrorCode::invalid_argument);
  EXPECT_THAT(early.error().message(), HasSubstr("set its shape first"));
  ASSERT_TRUE(request->set_input_shape(0, std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(request->input(0).size_bytes, 12U);
  ASSERT_TRUE(request->run());
  EXPECT_THAT(request->output(0).shape, ElementsAre(1, 3));
  const auto wrong = request->set_input_shape(0, std::vector<std::int64_t>{2, 3});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().id(), "VRG-ENG-010");
  EXPECT_THAT(wrong.error().message(), HasSubstr("got [2,3]"));
}

TEST_F(SessionTest, ErrorsHaveTheModelInFront) {
  const auto missing = catalogue_.load("fake", "/nowhere/model.fake", options_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_EQ(missing.error().id(), "VRG-ENG-004");
  EXPECT_THAT(missing.error().message(), HasSubstr("/nowhere/model.fake (engine 'fake')"));

  const auto corrupt = load("rubbish");
  ASSERT_FALSE(corrupt);
  EXPECT_EQ(corrupt.error().code(), ErrorCode::data_loss);
  EXPECT_EQ(corrupt.error().id(), "VRG-ENG-012");

  options_.options = {{"colour", "green"}};
  const auto option = load(kIdentity);
  ASSERT_FALSE(option);
  EXPECT_EQ(option.error().code(), ErrorCode::unimplemented);
  EXPECT_THAT(option.error().message(), HasSubstr("'colour'"));
  options_.options.clear();

  options_.format = "onnx";
  const auto format = load(kIdentity);
  ASSERT_FALSE(format);
  EXPECT_EQ(format.error().id(), "VRG-ENG-005");
  EXPECT_THAT(format.error().message(), HasSubstr("it reads fake"));
}

TEST_F(SessionTest, FailingRunIsAnError) {
  auto session = load("verge-fake 1\noutput y FP32 [1]\nfunction fail out of coffee\n");
  ASSERT_TRUE(session) << session.error().text();
  auto request = (*session)->create_request();
  ASSERT_TRUE(request);
  const auto run = request->run();
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code(), ErrorCode::internal);
  EXPECT_EQ(run.error().id(), "VRG-ENG-016");
  EXPECT_THAT(run.error().message(), HasSubstr("out of coffee"));
}

TEST_F(SessionTest, OptionsReachTheEngine) {
  options_.options = {{"delay_ms", "x"}};
  const auto bad = load(kIdentity);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), ErrorCode::invalid_argument);
  options_.options = {{"delay_ms", "1"}};
  EXPECT_TRUE(load(kIdentity));
}

}  // namespace
}  // namespace verge::processing
