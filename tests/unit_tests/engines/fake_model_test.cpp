// The engine "fake" through its plug-in: its functions and the refusals of its text format.
#include <fstream>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugin_under_test.hpp"
#include "verge/base/file.hpp"

namespace verge::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FakeModel : public ::testing::Test {
 protected:
  void SetUp() override {
    auto folder = TemporaryFolder::create("verge_fake");
    ASSERT_TRUE(folder);
    folder_.emplace(std::move(*folder));
    ASSERT_NE(api_, nullptr);
  }
  std::string write(const std::string& content) const {
    const std::string path = folder_->path() / "model.fake";
    std::ofstream(path) << content;
    return path;
  }
  std::string refusal(const std::string& content) {
    const std::string path = write(content);
    SessionHolder session(api_, load_of(path, "fake"));
    EXPECT_EQ(session.status, VERGE_ENGINE_CORRUPT) << content;
    return session.error.message;
  }

  const verge_engine_api* api_ = load_plugin("fake");
  std::optional<TemporaryFolder> folder_;
};

TEST_F(FakeModel, SumsInItsOwnTypes) {
  const std::string path = write(
      "verge-fake 1\ninput a UINT8 [3]\ninput b FP32 [2]\n"
      "output s FP32 [1]\noutput t UINT8 [2] 0.5 3\nfunction sum\n");
  SessionHolder session(api_, load_of(path, "fake"));
  ASSERT_EQ(session.status, VERGE_ENGINE_OK) << session.error.message;
  RequestHolder request(session);
  for (int i = 0; i < 3; ++i) static_cast<unsigned char*>(request.input(0).data)[i] = 200;
  static_cast<float*>(request.input(1).data)[0] = 0.5F;
  ASSERT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK) << request.error.message;
  EXPECT_EQ(*static_cast<float*>(request.output(0).data), 600.5F);
  EXPECT_THAT(bytes_of(request.output(1)), ElementsAre(255, 255));
  verge_engine_tensor_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(api_->output_info(session.session, 1, &info, &session.error), VERGE_ENGINE_OK);
  EXPECT_EQ(info.is_quantised, 1);
  EXPECT_EQ(info.zero_point, 3);
}

TEST_F(FakeModel, FailsByDesign) {
  const std::string path = write("verge-fake 1\ninput a UINT8 [1]\noutput b UINT8 [1]\nfunction fail_after 2\n");
  SessionHolder session(api_, load_of(path, "fake"));
  RequestHolder request(session);
  EXPECT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
  EXPECT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_OK);
  EXPECT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_FAILED);
  const std::string other = write("verge-fake 1\noutput b UINT8 [1]\nfunction fail out of coffee\n");
  SessionHolder failing(api_, load_of(other, "fake"));
  RequestHolder second(failing);
  EXPECT_EQ(api_->request_run(second.request, &second.error), VERGE_ENGINE_FAILED);
  EXPECT_STREQ(second.error.message, "out of coffee");
}

TEST_F(FakeModel, ALongRunIsCancelled) {
  const std::string path = write("verge-fake 1\noutput b UINT8 [1]\nfunction constant 7\ndelay_ms 60000\n");
  SessionHolder session(api_, load_of(path, "fake"));
  RequestHolder request(session);
  ASSERT_EQ(api_->request_start(request.request, nullptr, nullptr, &request.error), VERGE_ENGINE_OK);
  EXPECT_EQ(api_->request_start(request.request, nullptr, nullptr, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
  EXPECT_EQ(api_->request_run(request.request, &request.error), VERGE_ENGINE_INVALID_ARGUMENT);
  ASSERT_EQ(api_->request_cancel(request.request, &request.error), VERGE_ENGINE_OK);
  EXPECT_EQ(api_->request_wait(request.request, &request.error), VERGE_ENGINE_CANCELLED);
}

TEST_F(FakeModel, RefusalsNameTheLine) {
  EXPECT_THAT(refusal("something else"), HasSubstr("line 1: expected 'verge-fake 1'"));
  EXPECT_THAT(refusal("verge-fake 1\ninput x FP31 [1]\n"), HasSubstr("line 2: unknown type 'FP31'"));
  EXPECT_THAT(refusal("verge-fake 1\n\ninput x FP32 (1)\n"), HasSubstr("line 3: a shape looks like"));
  EXPECT_THAT(refusal("verge-fake 1\ninput x FP32 [1,0]\n"), HasSubstr("positive number"));
  EXPECT_THAT(refusal("verge-fake 1\ninput x FP32 [99999999,99999999]\n"), HasSubstr("line"));
  EXPECT_THAT(refusal("verge-fake 1\noutput y FP32 [1]\n"), HasSubstr("ends early"));
  EXPECT_THAT(refusal("verge-fake 1\noutput y FP32 [1]\nfunction dance\n"), HasSubstr("unknown function 'dance'"));
}

}  // namespace
}  // namespace verge::test
