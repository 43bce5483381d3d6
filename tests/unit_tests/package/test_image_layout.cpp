#include "verge/package/image_layout.hpp"

#include <fstream>
#include <map>

#include <gmock/gmock.h>

#include "sample_package.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::package {
namespace {

using test::make_sample;
using test::put;
using testing::HasSubstr;

std::map<std::string, std::string> content(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[entry.path().lexically_relative(folder).string()] = *read_text(entry.path(), 1 << 20);
  }
  return files;
}

class Layout : public testing::Test {
 protected:
  void SetUp() override {
    make_sample(source());
    ASSERT_TRUE(write_layout(*open_folder(source()), layout()));
  }
  std::filesystem::path source() const { return folder_.path() / "source"; }
  std::filesystem::path layout() const { return folder_.path() / "layout"; }
  std::filesystem::path blob(const std::string& digest) const { return layout() / "blobs/sha256" / digest.substr(7); }
  /// Replaces the manifest by `text` and points the index at it.
  void forge_manifest(const std::string& text) const {
    const auto digest = crypto::sha256(text);
    put(blob(digest), text);
    put(layout() / "index.json", R"({"schemaVersion":2,"manifests":[{"mediaType":"m","digest":")" + digest +
                                     R"(","size":)" + std::to_string(text.size()) + "}]}");
  }
  std::string manifest() const { return *read_text(blob(list_layout(layout())->front().digest), 1 << 20); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-test-"));
};

TEST_F(Layout, IsTheSameBytesEveryTime) {
  const auto first = content(layout());
  ASSERT_TRUE(write_layout(*open_folder(source()), folder_.path() / "again"));
  EXPECT_EQ(first, content(folder_.path() / "again"));
  ASSERT_TRUE(write_layout(*open_folder(source()), layout()));
  EXPECT_EQ(first, content(layout())) << "writing it once more changes nothing";
}

TEST_F(Layout, UnpacksToTheSameFiles) {
  const auto verified = verify_layout(layout(), "");
  ASSERT_TRUE(verified) << verified.error().text();
  ASSERT_TRUE(unpack_layout(*verified, folder_.path() / "out", false));
  EXPECT_EQ(content(source()), content(folder_.path() / "out"));
  EXPECT_EQ(unpack_layout(*verified, folder_.path() / "out", false).error().id(), "VRG-PKG-015");
}

TEST_F(Layout, OpensLikeAFolder) {
  for (const std::string& name :
       {layout().string(), layout().string() + ":1.0.0", layout().string() + "@" + open_folder(source())->digest}) {
    const auto package = open(name, folder_.path() / "scratch");
    ASSERT_TRUE(package) << package.error().text();
    EXPECT_EQ(package->digest, open_folder(source())->digest);
    EXPECT_EQ(package->labels.size(), 3U);
  }
  EXPECT_EQ(open(layout().string() + ":2.0.0", folder_.path() / "scratch").error().id(), "VRG-PKG-012");
}

TEST_F(Layout, AModelThatIsAFolderComesBackWhole) {
  std::filesystem::remove_all(layout());
  test::make_saved_model(source());
  ASSERT_TRUE(write_layout(*open_folder(source()), layout()));
  const auto package = open(layout().string(), folder_.path() / "scratch");
  ASSERT_TRUE(package) << package.error().text();
  EXPECT_EQ(package->digest, open_folder(source())->digest);
  EXPECT_EQ(*read_text(*package->model_file() / "saved_model.pb", 100), "graph");
  EXPECT_EQ(*read_text(*package->model_file() / "variables/variables.index", 100), "index");
}

TEST_F(Layout, HoldsSeveralVersionsAndSharesTheirBlobs) {
  const auto before = content(layout()).size();
  make_sample(source(), "2.0.0");
  ASSERT_TRUE(write_layout(*open_folder(source()), layout()));
  EXPECT_EQ(content(layout()).size(), before + 3) << "metadata, manifest and configuration are new, nothing else";
  EXPECT_EQ(list_layout(layout())->size(), 2U);
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-PKG-012");
  EXPECT_TRUE(verify_layout(layout(), "1.0.0"));
}

TEST_F(Layout, AVersionNeverChanges) {
  put(source() / "model_card.md", "# Changed\n");
  EXPECT_EQ(write_layout(*open_folder(source()), layout()).error().id(), "VRG-PKG-010");
}

TEST_F(Layout, EveryDamagedBlobIsFound) {
  const auto files = content(layout());
  int tried = 0;
  for (const auto& [name, text] : files) {
    if (!name.starts_with("blobs/")) continue;
    std::string damaged = text;
    damaged[damaged.size() / 2] ^= 1;
    for (const auto& wrong : {damaged, text.substr(0, text.size() - 1), text + "x"}) {
      put(layout() / name, wrong);
      const auto verified = verify_layout(layout(), "");
      ASSERT_FALSE(verified) << name;
      EXPECT_EQ(verified.error().id(), "VRG-PKG-013") << name;
    }
    std::filesystem::remove(layout() / name);
    EXPECT_THAT(verify_layout(layout(), "").error().message(), HasSubstr("it is missing"));
    put(layout() / name, text);
    ++tried;
  }
  EXPECT_EQ(tried, 10);
  EXPECT_TRUE(verify_layout(layout(), ""));
}

TEST_F(Layout, PathsThatLeadOutsideAreRefused) {
  auto text = manifest();
  text.replace(text.find("golden/in.bin"), 13, "../../escaped");
  forge_manifest(text);
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-BAS-004");
}

TEST_F(Layout, ManifestsThatAreNotOursAreRefused) {
  const auto original = manifest();
  auto text = original;
  text.replace(text.find("golden/in.bin"), 13, "metadata.json");
  forge_manifest(text);
  EXPECT_THAT(verify_layout(layout(), "").error().message(), HasSubstr("two layers have this path"));
  text = original;
  text.replace(text.find("vnd.cncf.model.manifest"), 23, "vnd.docker.container.im");
  forge_manifest(text);
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-PKG-014");
  for (const char* size : {"{}", "\"2\"", "-1", "1e3", "99999999999999999999", "17179869185"}) {
    text = original;
    text.insert(text.find("\"size\":") + 7, std::string(size) + R"(,"was":)");
    EXPECT_EQ(read_manifest(text, "manifest").error().id(), "VRG-PKG-014") << size;
  }
  forge_manifest("{}");
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-PKG-014");
  forge_manifest("no json");
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-DOC-001");
  put(layout() / "index.json", R"({"manifests":[{"digest":"sha256:../../../etc/passwd","size":3}]})");
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-PKG-014");
  put(layout() / "index.json", "{}");
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-PKG-011");
  std::filesystem::remove(layout() / "index.json");
  EXPECT_EQ(verify_layout(layout(), "").error().id(), "VRG-PKG-011");
}

TEST_F(Layout, ItsManifestIsThatOfTheSpecification) {
  const auto node = wire::parse_json(manifest(), "manifest");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->find("schemaVersion")->text, "2");
  EXPECT_EQ(node->find("mediaType")->text, kManifestMediaType);
  EXPECT_EQ(node->find("artifactType")->text, kArtifactType);
  EXPECT_EQ(node->find("config")->find("mediaType")->text, kConfigMediaType);
  for (const auto& layer : node->find("layers")->items) {
    EXPECT_THAT(layer.find("annotations")->find(kFilePathAnnotation)->text, testing::Not(testing::IsEmpty()));
  }
}

}  // namespace
}  // namespace verge::package
