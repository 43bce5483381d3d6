// When downloads may run, and how much may come in a day.
#include "download_policy.hpp"

#include <cstdlib>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"

namespace verge::agent {
namespace {

using ::testing::HasSubstr;
using wire::Weekday;

class Policy : public ::testing::Test {
 protected:
  Policy() : folder_(std::move(*TemporaryFolder::create("verge-policy-"))) {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  std::filesystem::path file() const { return folder_.path() / "downloads.txt"; }
  /// 2026-11-23 is a Monday.
  static std::time_t at(int day, int hour, int minute = 0) {
    std::tm parts{};
    parts.tm_year = 126;
    parts.tm_mon = 10;
    parts.tm_mday = 23 + day;
    parts.tm_hour = hour;
    parts.tm_min = minute;
    return ::timegm(&parts);
  }
  static wire::DownloadWindow window(const char* from, const char* to, std::vector<Weekday> days = {}) {
    wire::DownloadWindow made;
    made.from = from;
    made.to = to;
    made.days = std::move(days);
    return made;
  }
  bool open(const std::vector<wire::DownloadWindow>& windows, std::time_t now) const {
    wire::HubDownloads wanted;
    wanted.windows = windows;
    return policy(wanted).admit(now, {}).has_value();
  }
  DownloadPolicy policy(const wire::HubDownloads& wanted) const {
    return DownloadPolicy(wanted, file(), [this] { return route_; });
  }
  /// The identifier of the refusal, "" when it is admitted.
  static std::string refusal(DownloadPolicy& policy, std::time_t now, const DownloadContent& content = {}) {
    const auto admitted = policy.admit(now, content);
    return admitted ? std::string() : std::string(admitted.error().id());
  }
  std::string route_ = "eth0";
  TemporaryFolder folder_;
};

TEST_F(Policy, WithoutWindowsItIsAlwaysOpen) {
  EXPECT_TRUE(open({}, at(0, 3)));
}

TEST_F(Policy, AWindowOpensAndCloses) {
  const std::vector windows{window("09:30", "17:00")};
  EXPECT_FALSE(open(windows, at(0, 9, 29)));
  EXPECT_TRUE(open(windows, at(0, 9, 30)));
  EXPECT_TRUE(open(windows, at(5, 16, 59)));
  EXPECT_FALSE(open(windows, at(0, 17)));
}

TEST_F(Policy, ANightBelongsToTheDayOnWhichItBegins) {
  const std::vector windows{window("22:00", "06:00", {Weekday::friday})};
  EXPECT_FALSE(open(windows, at(4, 21, 59)));
  EXPECT_TRUE(open(windows, at(4, 22)));
  EXPECT_TRUE(open(windows, at(5, 5, 59)));
  EXPECT_FALSE(open(windows, at(5, 6)));
  EXPECT_FALSE(open(windows, at(5, 22)));
  EXPECT_FALSE(open(windows, at(4, 3))) << "the night of Thursday";
  EXPECT_TRUE(open({window("00:00", "00:00", {Weekday::sunday})}, at(6, 23, 59))) << "a whole day";
}

TEST_F(Policy, SaysWhenTheNextWindowOpens) {
  wire::HubDownloads wanted;
  wanted.windows = {window("22:00", "06:00", {Weekday::wednesday}), window("01:15", "01:20", {Weekday::tuesday})};
  auto policy = this->policy(wanted);
  EXPECT_THAT(policy.admit(at(0, 12), {}).error().text(), HasSubstr("opens on Tuesday 01:15 [VRG-AGT-036]"));
  EXPECT_THAT(policy.admit(at(1, 1, 20), {}).error().text(), HasSubstr("opens on Wednesday 22:00"));
  EXPECT_THAT(policy.admit(at(3, 6), {}).error().text(), HasSubstr("opens on Tuesday 01:15"));
  EXPECT_EQ(policy.admit(at(3, 6), {}).error().code(), ErrorCode::unavailable) << "it passes by itself";
}

TEST_F(Policy, ADayHasItsBytesAndARestartForgetsNone) {
  wire::HubDownloads wanted;
  wanted.max_bytes_per_day = 3'000'000;
  {
    auto policy = this->policy(wanted);
    EXPECT_TRUE(policy.admit(at(0, 1), {}));
    policy.count(2'000'000, at(0, 2));
    EXPECT_TRUE(policy.admit(at(0, 2), {}));
  }
  auto policy = this->policy(wanted);
  policy.count(1'000'000, at(0, 23, 59));
  const auto full = policy.admit(at(0, 23, 59), {});
  ASSERT_FALSE(full);
  EXPECT_THAT(full.error().text(), HasSubstr("VRG-AGT-037"));
  EXPECT_TRUE(policy.admit(at(1, 0), {}));
  policy.count(500'000, at(1, 0));
  policy.save();
  EXPECT_EQ(*read_text(file(), 100), "2026-11-24 500000 0\n");
}

TEST_F(Policy, AFileThatIsNoneCountsNothing) {
  wire::HubDownloads wanted;
  wanted.max_bytes_per_day = 65536;
  for (const char* text : {"", "x", "2026-11-23", "2026-11-23 -5", "2026-11-23 99999999999999999999999", "\n \n"}) {
    ASSERT_TRUE(write_file(file(), std::string_view(text)));
    EXPECT_TRUE(policy(wanted).admit(at(0, 12), {})) << text;
  }
}

TEST_F(Policy, InMeteredHoursNothingComes) {
  wire::HubDownloads wanted;
  wanted.metered.emplace().hours = {window("08:00", "18:00", {Weekday::monday})};
  auto policy = this->policy(wanted);
  EXPECT_EQ(refusal(policy, at(0, 7, 59)), "");
  EXPECT_EQ(refusal(policy, at(0, 8)), "VRG-AGT-051");
  EXPECT_THAT(policy.admit(at(0, 17), {}).error().text(), HasSubstr("metered until Monday 18:00"));
  EXPECT_EQ(policy.admit(at(0, 17), {}).error().code(), ErrorCode::unavailable) << "it passes by itself";
  EXPECT_EQ(refusal(policy, at(0, 18)), "");
  EXPECT_EQ(refusal(policy, at(1, 12)), "");
}

TEST_F(Policy, AnInterfaceIsMeteredWhileTheDefaultRouteGoesThroughIt) {
  wire::HubDownloads wanted;
  wanted.metered.emplace().interfaces = {"wwan0", "ppp0"};
  auto policy = this->policy(wanted);
  EXPECT_EQ(refusal(policy, at(0, 12)), "");
  route_ = "ppp0";
  EXPECT_EQ(refusal(policy, at(0, 12)), "") << "it is looked at once a second";
  EXPECT_THAT(policy.admit(at(0, 12) + 1, {}).error().text(), HasSubstr("while the default route goes through ppp0"));
  route_ = "";
  EXPECT_EQ(refusal(policy, at(0, 12) + 2), "");
}

TEST_F(Policy, OnAMeteredLinkOnlyDeltasAndDocumentsMayCome) {
  wire::HubDownloads wanted;
  wanted.metered.emplace().interfaces = {"eth0"};
  wanted.metered->allow = wire::MeteredAllowance::deltas_only;
  auto policy = this->policy(wanted);
  EXPECT_EQ(refusal(policy, at(0, 12), {true, 5'000'000}), "");
  EXPECT_EQ(refusal(policy, at(0, 12), {false, DownloadPolicy::kDocument_bytes - 1}), "");
  EXPECT_EQ(refusal(policy, at(0, 12), {false, DownloadPolicy::kDocument_bytes}), "VRG-AGT-052");
}

TEST_F(Policy, AMeteredLinkHasBytesOfItsOwn) {
  wire::HubDownloads wanted;
  wanted.max_bytes_per_day = 3'000'000;
  wanted.metered.emplace().interfaces = {"wwan0"};
  wanted.metered->allow = wire::MeteredAllowance::everything;
  wanted.metered->max_bytes_per_day = 1'000'000;
  {
    auto policy = this->policy(wanted);
    policy.count(1'500'000, at(0, 12));
    route_ = "wwan0";
    EXPECT_EQ(refusal(policy, at(0, 13)), "");
    policy.count(1'000'000, at(0, 13));
    EXPECT_EQ(refusal(policy, at(0, 13)), "VRG-AGT-053");
    policy.save();
  }
  EXPECT_EQ(*read_text(file(), 100), "2026-11-23 2500000 1000000\n");
  auto policy = this->policy(wanted);
  EXPECT_EQ(refusal(policy, at(0, 14)), "VRG-AGT-053") << "a restart forgets none";
  route_ = "eth0";
  EXPECT_EQ(refusal(policy, at(0, 15)), "");
  policy.count(500'000, at(0, 15));
  EXPECT_EQ(refusal(policy, at(0, 15)), "VRG-AGT-037");
  route_ = "wwan0";
  EXPECT_EQ(refusal(policy, at(1, 0)), "");
}

}  // namespace
}  // namespace verge::agent
