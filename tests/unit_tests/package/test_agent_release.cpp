#include "verge/package/agent_release.hpp"

#include <fstream>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/package/requirements.hpp"

namespace verge::package {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Release : public testing::Test {
 protected:
  void put(const fs::path& path, const std::string& content, bool executable = false) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << content;
    if (executable) fs::permissions(path, fs::perms::owner_all);
  }
  void SetUp() override {
    put(tree() / "bin" / "verge-agent", "agent", true);
    put(tree() / "bin" / "verge-hub", "hub", true);
    put(tree() / "lib" / "verge" / "verge-engine-worker", "worker", true);
    put(tree() / "lib" / "verge" / "engines" / "libverge_engine_fake.so", "engine", true);
    put(tree() / "lib" / "cmake" / "Verge" / "VergeConfig.cmake", "cmake");
    put(tree() / "share" / "verge" / "x.json", "{}");
  }
  [[nodiscard]] fs::path tree() const { return folder_.path() / "tree"; }
  [[nodiscard]] fs::path out() const { return folder_.path() / "release"; }
  static wire::AgentRelease document(const std::string& version = "1.2.0") {
    wire::AgentRelease release;
    release.schema_version = 1;
    release.name = kAgentName;
    release.version = version;
    return release;
  }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-release-"));
};

TEST_F(Release, HoldsWhatTheAgentConsistsOf) {
  const auto made = make_release(tree(), document(), out());
  ASSERT_TRUE(made) << made.error().text();
  std::vector<std::string> paths;
  for (const auto& file : made->files) paths.push_back(file.path);
  EXPECT_THAT(paths, ElementsAre("bin/verge-agent", "lib/verge/engines/libverge_engine_fake.so",
                                 "lib/verge/verge-engine-worker", "release.json"));
  EXPECT_EQ(made->release.program, "bin/verge-agent");
  EXPECT_THAT(made->release.executables, ElementsAre("lib/verge/verge-engine-worker")) << "a library is not run";
  const auto opened = open_release(out());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->digest, made->digest);
}

TEST_F(Release, LinksToLibrariesBecomeFiles) {
  put(folder_.path() / "wheel" / "libvendor.so.1", "vendor");
  fs::create_directories(tree() / "lib" / "verge" / "vendor");
  fs::create_symlink(folder_.path() / "wheel" / "libvendor.so.1", tree() / "lib" / "verge" / "vendor" / "libvendor.so");
  const auto made = make_release(tree(), document(), out());
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_FALSE(fs::is_symlink(out() / "lib" / "verge" / "vendor" / "libvendor.so"));
}

TEST_F(Release, ItsManifestIsNoModels) {
  const auto made = *make_release(tree(), document("1.2.0+aarch64"), out());
  const auto manifest = make_manifest(made.release, made.files);
  EXPECT_EQ(manifest.manifest_digest, made.digest);
  EXPECT_EQ(read_manifest(manifest.manifest_json, "x").error().id(), "VRG-PKG-014");
  const auto read = read_manifest(manifest.manifest_json, "x", kAgentArtifactType);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->files.size(), made.files.size());
  EXPECT_TRUE(read_manifest(manifest.manifest_json, "x", {}));
  EXPECT_EQ(tag_of(made.release.version), "1.2.0_aarch64");
  const auto custom = target_custom(made.release, 12);
  EXPECT_EQ(custom.kind, wire::TargetKind::agent);
  EXPECT_EQ(custom.name, "verge-agent");
}

TEST_F(Release, SaysWhatIsWrong) {
  EXPECT_EQ(make_release(folder_.path() / "nothing", document(), out()).error().id(), "VRG-PKG-020");
  EXPECT_EQ(open_release(tree()).error().id(), "VRG-PKG-020");
  ASSERT_TRUE(make_release(tree(), document(), out()));
  EXPECT_EQ(make_release(tree(), document(), out()).error().id(), "VRG-PKG-015");
  fs::create_symlink("/etc/passwd", out() / "lib" / "link");
  EXPECT_EQ(open_release(out()).error().id(), "VRG-PKG-021");
  fs::remove(out() / "lib" / "link");
  fs::remove(out() / "lib" / "verge" / "verge-engine-worker");
  const auto missing = open_release(out());
  EXPECT_EQ(missing.error().id(), "VRG-PKG-022");
  EXPECT_THAT(missing.error().message(), HasSubstr("verge-engine-worker"));
}

}  // namespace
}  // namespace verge::package
