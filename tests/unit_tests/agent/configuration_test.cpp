// edge_config.yaml: read, checked, its paths made absolute.
#include <gmock/gmock.h>

#include "verge/agent/agent.hpp"
#include "verge/base/file.hpp"

namespace verge::agent {
namespace {

using ::testing::HasSubstr;

class Configurations : public ::testing::Test {
 protected:
  Result<wire::EdgeConfig> read(const std::string& text) {
    EXPECT_TRUE(write_file(folder_.path() / "edge.yaml", std::string_view(text)));
    return read_configuration(folder_.path() / "edge.yaml");
  }
  std::string refusal(const std::string& text) {
    const auto configuration = read(text);
    return configuration ? "(read)" : configuration.error().text();
  }
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge_configuration"));
};

TEST_F(Configurations, PathsStartAtTheFilesOwnFolder) {
  const auto read_one = read(R"(version: 1
state_directory: ../state
models:
  - package: models/a
  - { package: /srv/b, name: b }
pipelines:
  - { name: one, source: { folder: { path: in } }, models: [{ model: a }], sinks: [{ json_lines: { path: out.jsonl } }] }
  - { name: two, source: { video: { path: v.mp4 } }, models: [{ model: a }], sinks: [{ json_lines: { path: "-" } }] }
  - { name: three, source: { camera: {} }, models: [{ model: a }], sinks: [{ json_lines: { path: /tmp/x } }] }
)");
  ASSERT_TRUE(read_one) << read_one.error().text();
  const auto folder = folder_.path();
  EXPECT_EQ(*read_one->state_directory, (folder.parent_path() / "state").string());
  EXPECT_EQ(read_one->models[0].package, (folder / "models" / "a").string());
  EXPECT_EQ(read_one->models[1].package, "/srv/b");
  EXPECT_EQ(read_one->pipelines[0].source.folder->path, (folder / "in").string());
  EXPECT_EQ(read_one->pipelines[0].sinks[0].json_lines->path, (folder / "out.jsonl").string());
  EXPECT_EQ(read_one->pipelines[1].source.video->path, (folder / "v.mp4").string());
  EXPECT_EQ(read_one->pipelines[1].sinks[0].json_lines->path, "-");
}

TEST_F(Configurations, AMeteredLinkIsNamed) {
  const std::string begin = "version: 1\nstate_directory: s\nhub: { enrolment: e, downloads: { metered: { ";
  EXPECT_EQ(refusal(begin + "interfaces: [wwan0] } } }\n"), "(read)");
  EXPECT_EQ(refusal(begin + "hours: [{ from: '07:00', to: '19:00' }] } } }\n"), "(read)");
  EXPECT_THAT(refusal(begin + "allow: nothing } } }\n"), HasSubstr("VRG-AGT-054"));
}

TEST_F(Configurations, BundlesNeedAHubAndAFolder) {
  const auto configuration =
      read("version: 1\nstate_directory: s\nhub: { enrolment: e }\nbundles: { folder: stick }\n");
  ASSERT_TRUE(configuration) << configuration.error().text();
  EXPECT_EQ(configuration->bundles->folder, (folder_.path() / "stick").string());
  EXPECT_THAT(refusal("version: 1\nbundles: { folder: stick }\n"), HasSubstr("'bundles' needs a 'hub'"));
  EXPECT_THAT(refusal("version: 1\nbundles: {}\n"), HasSubstr("VRG-DOC-003"));
}

TEST_F(Configurations, EncryptionAtRest) {
  const auto configuration =
      read("version: 1\nstate_directory: state\nat_rest: { key: file, key_file: keys/k, memory_folder: /run/verge }\n");
  ASSERT_TRUE(configuration) << configuration.error().text();
  EXPECT_EQ(*configuration->at_rest->key_file, (folder_.path() / "keys" / "k").string());
  EXPECT_EQ(*configuration->at_rest->memory_folder, "/run/verge");
  EXPECT_EQ(configuration->at_rest->tcti, "device:/dev/tpmrm0");
  EXPECT_EQ(configuration->at_rest->lock, wire::AtRestLock::required);
  EXPECT_THAT(refusal("version: 1\nat_rest: { key: tpm }\n"), HasSubstr("VRG-AGT-002"));
  EXPECT_EQ(refusal("version: 1\nat_rest: { key: none }\n"), "(read)");
  EXPECT_THAT(refusal("version: 1\nstate_directory: s\nat_rest: {}\n"), HasSubstr("VRG-DOC-003"));
  EXPECT_THAT(refusal("version: 1\nstate_directory: s\nat_rest: { key: tpm, pcrs: [24] }\n"), HasSubstr("VRG-DOC-005"));
}

TEST_F(Configurations, ARelativeFileNameToo) {
  ASSERT_TRUE(read("version: 1\nmodels: [{ package: a }]\n"));
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  const auto here = read_configuration("edge.yaml");
  std::filesystem::current_path(before);
  ASSERT_TRUE(here);
  EXPECT_EQ(here->models[0].package, (folder_.path() / "a").string());
}

TEST_F(Configurations, WhatIsRefused) {
  EXPECT_THAT(refusal("version: 2\n"), HasSubstr("VRG-DOC-005"));
  EXPECT_THAT(refusal("version: 1\nmodel: []\n"), HasSubstr("did you mean"));
  EXPECT_THAT(refusal("version: 1\nmodels:\n  - { package: a, name: x }\n  - { package: b, name: x }\n"),
              HasSubstr("line 4: two models are called 'x'; give one another 'name' [VRG-AGT-001]"));
  const std::string pipeline =
      "  - { name: p, source: { camera: {} }, models: [{ model: a }], sinks: [{ json_lines: { path: x } }] }\n";
  EXPECT_THAT(refusal("version: 1\npipelines:\n" + pipeline + pipeline),
              HasSubstr("line 4: two pipelines are called 'p'; rename one [VRG-AGT-001]"));
  EXPECT_THAT(refusal("version: 1\npipelines:\n  - { name: p, source: {}, models: [{ model: a }], sinks: [{ "
                      "json_lines: { path: x } }] }\n"),
              HasSubstr("VRG-DOC-006"));
  const auto nothing = read_configuration(folder_.path() / "nothing.yaml");
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace verge::agent
