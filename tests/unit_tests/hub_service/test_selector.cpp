#include "verge/hub/selector.hpp"

#include <gmock/gmock.h>

namespace verge::hub {
namespace {

bool matches(const char* text) {
  const auto selector = Selector::parse(text);
  EXPECT_TRUE(selector) << text;
  return selector && selector->matches({{"name", "cam-1"}, {"type", "camera"}, {"site", "plant1"}});
}

TEST(HubSelector, ComparesLabels) {
  for (const char* yes :
       {"all", " all ", "name=cam-1", "site=plant1,type!=gateway", "line!=3", " type = camera , site=plant1"}) {
    EXPECT_TRUE(matches(yes)) << yes;
  }
  for (const char* no : {"name=cam-2", "site=plant1,type!=camera", "line=3", "site=plant1,name=cam-2"}) {
    EXPECT_FALSE(matches(no)) << no;
  }
}

TEST(HubSelector, RefusesWhatIsNone) {
  for (const char* bad :
       {"", "cam-1", "=x", "name=", "name=a,", "name=a b", "a=b;c=d", "name==x", "!=x", "name=cam-*"}) {
    const auto selector = Selector::parse(bad);
    ASSERT_FALSE(selector) << bad;
    EXPECT_EQ(selector.error().id(), "VRG-HUB-020");
    EXPECT_THAT(selector.error().message(), testing::HasSubstr("site=plant1,type!=camera"));
  }
}

}  // namespace
}  // namespace verge::hub
