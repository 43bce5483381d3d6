#include "fleet_of.hpp"

namespace verge::hub {
namespace {

using HubRegistry = HubTest;

constexpr const char* kIndex = R"({"schemaVersion":2,"manifests":[]})";
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

TEST_F(HubRegistry, TakesTagsOfTheSpecificationOnly) {
  auto& registry = hub_->registry();
  for (const auto& tag : {std::string("1.0.0"), std::string("_x"), std::string("V1.0-rc_1"), std::string(128, 'a')}) {
    EXPECT_TRUE(registry.put_manifest(admin_, "tools/x", tag, kIndexType, kIndex)) << tag;
  }
  for (const auto& tag : {std::string(), std::string("a\r\nb"), std::string("-a"), std::string("ä"),
                          std::string("sha512:0"), std::string(129, 'a')}) {
    const auto made = registry.put_manifest(admin_, "tools/x", tag, kIndexType, kIndex);
    ASSERT_FALSE(made) << tag;
    EXPECT_EQ(made.error().id(), "VRG-OCI-011") << tag;
  }
  EXPECT_EQ(must(registry.tags(admin_, "tools/x")).size(), 4U);
}

TEST_F(HubRegistry, RefusesMediaTypesThatNoHeaderCanHold) {
  const auto made = hub_->registry().put_manifest(
      admin_, "tools/x", "1", "", R"({"mediaType":"application/json\r\nSet-Cookie: a=b","manifests":[]})");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().id(), "VRG-OCI-006");
}

}  // namespace
}  // namespace verge::hub
