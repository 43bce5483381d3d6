#include "verge/engines/executorch_file.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/test_support/test_data.hpp"

namespace verge::engines {
namespace {

constexpr const char* kModel = "models/cls/efficientnet_lite0/efficientnet_lite0_int8.pte";
constexpr std::size_t kStructureBytes = 76'000;  // 24 KiB of program, then XNNPACK's graph; weights behind it.

verge_engine_status status_of(std::span<const std::byte> content) {
  try {
    check_executorch(content);
    return VERGE_ENGINE_OK;
  } catch (const Failure& failure) {
    EXPECT_STRNE(failure.what(), "");
    return failure.status();
  }
}

class ExecutorchFile : public ::testing::Test {
 protected:
  void SetUp() override {
    VERGE_TEST_DATA_OR_SKIP(data);
    content_ = *read_file(data / kModel, std::uint64_t{64} << 20U);
  }
  std::vector<std::byte> content_;
};

TEST_F(ExecutorchFile, AcceptsRealPrograms) {
  EXPECT_EQ(status_of(content_), VERGE_ENGINE_OK);
}

TEST_F(ExecutorchFile, RefusesWhatIsShortOrForeign) {
  for (const std::size_t size : {0UL, 7UL, 63UL, 64UL, 1'000UL, 24'000UL, 40'000UL, 80'000UL, 2'000'000UL}) {
    EXPECT_EQ(status_of(std::span(content_).first(size)), VERGE_ENGINE_CORRUPT) << size << " bytes";
  }
  content_[5] = std::byte{'x'};
  EXPECT_EQ(status_of(content_), VERGE_ENGINE_CORRUPT);
}

TEST_F(ExecutorchFile, ChangedStructureIsSurvived) {
  std::mt19937 random(7);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t at = random() % kStructureBytes;
    const auto mask = std::byte{1} << (random() % 8);
    content_[at] ^= mask;
    const auto status = status_of(content_);
    EXPECT_TRUE(status == VERGE_ENGINE_OK || status == VERGE_ENGINE_CORRUPT);
    refused += status != VERGE_ENGINE_OK ? 1 : 0;
    content_[at] ^= mask;
  }
  EXPECT_GT(refused, 2'000);
}

}  // namespace
}  // namespace verge::engines
