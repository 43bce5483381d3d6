#include "verge/base/error.hpp"

#include <set>

#include <gmock/gmock.h>

namespace verge {
namespace {

using testing::StartsWith;

Result<int> fails() {
  return Error(ErrorCode::not_found, "VRG-TST-001", "there is nothing");
}
Result<int> gives() {
  return 7;
}

Result<int> tries(bool fail) {
  VERGE_ASSIGN(const int value, fail ? fails() : gives());
  VERGE_TRY(gives());
  return value + 1;
}

TEST(Error, CarriesCodeIdAndContext) {
  const auto result = fails();
  ASSERT_FALSE(result);
  const Error error = Error(result.error()).with_context("inner").with_context("outer");
  EXPECT_EQ(error.text(), "outer: inner: there is nothing [VRG-TST-001]");
  EXPECT_EQ(error.code(), ErrorCode::not_found);
  EXPECT_EQ(in("loading", fails()).message(), "loading: there is nothing");
}

TEST(Error, MacrosReturnEarlyOrGoOn) {
  EXPECT_EQ(*tries(false), 8);
  EXPECT_EQ(tries(true).error().id(), "VRG-TST-001");
}

TEST(Error, EveryCodeHasNameAndStatus) {
  std::set<std::string_view> names;
  std::set<int> statuses;
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    names.insert(name(code));
    statuses.insert(exit_status(code));
    EXPECT_GE(exit_status(code), 2) << name(code);
    EXPECT_LT(exit_status(code), 256);
    EXPECT_GE(http_status(code), 400);
    EXPECT_LT(http_status(code), 600);
  }
  EXPECT_EQ(names.size(), 15U);
  EXPECT_EQ(statuses.size(), 15U) << "scripts tell kinds of errors apart by the exit status";
}

}  // namespace
}  // namespace verge
