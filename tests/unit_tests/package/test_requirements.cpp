#include "verge/package/requirements.hpp"

#include <gtest/gtest.h>

namespace verge::package {
namespace {

TEST(CompareVersions, FollowsSemanticVersioning) {
  constexpr const char* kAscending[] = {"0.9",          "1.0.0-alpha",   "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                        "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",    "1.0.0",
                                        "1.0.1",        "1.2",           "1.10.0",        "2"};
  for (std::size_t a = 0; a < std::size(kAscending); ++a) {
    for (std::size_t b = 0; b < std::size(kAscending); ++b) {
      EXPECT_EQ(compare_versions(kAscending[a], kAscending[b]), a < b   ? -1
                                                                : a > b ? 1
                                                                        : 0)
          << kAscending[a] << " and " << kAscending[b];
    }
  }
  EXPECT_EQ(compare_versions("1.0.0+one", "1.0.0+two"), 0);
  EXPECT_EQ(compare_versions("1", "1.0.0"), 0);
}

wire::DeviceReport camera() {
  wire::DeviceReport device;
  device.device_type = "camera";
  device.architecture = "x86_64";
  device.memory_available_bytes = std::int64_t{190} << 20;
  device.disk_free_bytes = std::int64_t{1} << 30;
  wire::EngineReport engine;
  engine.name = "litert";
  engine.version = "2.3";
  device.engines = {engine};
  return device;
}

wire::TargetCustom target() {
  wire::TargetCustom custom;
  custom.name = "cat";
  custom.version = "1.2.0";
  custom.requirements = wire::Requirements{};
  return custom;
}

wire::EngineRequirement engine(const char* name, const char* version) {
  wire::EngineRequirement requirement;
  requirement.name = name;
  if (*version != '\0') requirement.min_version = version;
  return requirement;
}

TEST(CheckFit, NeedsNothingByDefault) {
  EXPECT_TRUE(check_fit(target(), wire::DeviceReport{}));
}

TEST(CheckFit, TellsEverythingThatIsMissing) {
  auto custom = target();
  custom.requirements->engines = {engine("openvino", "2026.2")};
  custom.requirements->memory_bytes = std::int64_t{310} << 20;
  auto fit = check_fit(custom, camera());
  ASSERT_FALSE(fit);
  EXPECT_EQ(fit.error().id(), "VRG-FIT-001");
  EXPECT_EQ(fit.error().message(),
            "needs openvino>=2026.2 and 310.0 MiB of memory; has litert 2.3 and 190.0 MiB of memory");
  custom = target();
  custom.requirements->device_types = {"gate", "robot"};
  custom.requirements->architectures = {"aarch64"};
  custom.disk_bytes = std::int64_t{2} << 30;
  fit = check_fit(custom, camera());
  ASSERT_FALSE(fit);
  EXPECT_EQ(fit.error().message(),
            "needs device type gate or robot and architecture aarch64 and 2.0 GiB of disk; has device type camera and "
            "architecture x86_64 and 1.0 GiB of disk");
}

TEST(CheckFit, OneOfTheEnginesIsEnough) {
  auto custom = target();
  custom.requirements->engines = {engine("openvino", "2026.2"), engine("litert", "2.3")};
  EXPECT_TRUE(check_fit(custom, camera()));
  custom.requirements->engines = {engine("litert", "")};
  EXPECT_TRUE(check_fit(custom, camera()));
  custom.requirements->engines = {engine("litert", "2.10")};
  EXPECT_FALSE(check_fit(custom, camera())) << "2.10 is later than 2.3";
}

TEST(CheckFit, NothingBelowTheFloor) {
  auto custom = target();
  custom.version_floor = "1.2.0";
  EXPECT_TRUE(check_fit(custom, camera()));
  custom.version_floor = "1.10.0";
  const auto fit = check_fit(custom, camera());
  ASSERT_FALSE(fit);
  EXPECT_EQ(fit.error().id(), "VRG-FIT-002");
  EXPECT_EQ(fit.error().message().substr(0, 57), "cat 1.2.0 is below the smallest version allowed, 1.10.0; ");
}

}  // namespace
}  // namespace verge::package
