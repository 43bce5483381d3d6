#include "verge/base/log.hpp"

#include <gmock/gmock.h>

namespace verge {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Log, TextForPeople) {
  Log log;
  testing::internal::CaptureStderr();
  log.debug("not shown");
  log.info("loaded", {{"model", "cat"}, {"ms", 1.5}, {"ok", true}, {"why", "two words"}, {"count", 3}});
  const auto out = testing::internal::GetCapturedStderr();
  EXPECT_THAT(out, HasSubstr("info    loaded  model=cat  ms=1.5  ok=true  why=\"two words\"  count=3"));
  EXPECT_THAT(out, Not(HasSubstr("not shown")));
}

TEST(Log, OneJsonObjectALine) {
  Log log(LogLevel::debug, LogFormat::json);
  testing::internal::CaptureStderr();
  log.warning("a \"quoted\"\nline", {{"path", "C:\\x\t\r\x01"}, {"n", 2LL}});
  log.error("e");
  log.debug("d");
  const auto out = testing::internal::GetCapturedStderr();
  EXPECT_THAT(out, HasSubstr(R"("level":"warning","message":"a \"quoted\"\nline","path":"C:\\x\t\r\u0001","n":2})"));
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 3);
}

}  // namespace
}  // namespace verge
