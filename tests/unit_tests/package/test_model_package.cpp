#include "verge/package/model_package.hpp"

#include <gmock/gmock.h>

#include "sample_package.hpp"

namespace verge::package {
namespace {

using test::make_sample;
using test::put;
using testing::ElementsAre;
using testing::HasSubstr;

class PackageFolder : public testing::Test {
 protected:
  void SetUp() override { make_sample(folder_.path()); }
  Error refused() const {
    auto opened = open_folder(folder_.path());
    EXPECT_FALSE(opened);
    return opened ? Error(ErrorCode::internal, "", "opened") : std::move(opened).error();
  }
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-test-"));
};

TEST_F(PackageFolder, OpensWithAllItsDocuments) {
  const auto package = open_folder(folder_.path());
  ASSERT_TRUE(package) << package.error().text();
  EXPECT_EQ(package->metadata.name, "sample");
  EXPECT_THAT(package->labels, ElementsAre("one", "two", "three"));
  EXPECT_EQ(package->files.size(), 9U);
  EXPECT_EQ(package->golden.samples.size(), 1U);
  EXPECT_EQ(package->model_file()->filename(), "model.fake");
  EXPECT_EQ(package->digest.size(), 71U);
}

TEST_F(PackageFolder, ItsDigestDependsOnContentOnly) {
  const auto other = std::move(*TemporaryFolder::create("verge-test-"));
  make_sample(other.path());
  EXPECT_EQ(open_folder(folder_.path())->digest, open_folder(other.path())->digest);
  put(other.path() / "model_card.md", "# Other\n");
  EXPECT_NE(open_folder(folder_.path())->digest, open_folder(other.path())->digest);
}

TEST_F(PackageFolder, OnlyMetadataAndModelAreNeeded) {
  for (const char* part : {"preprocessing", "postprocessing", "golden", "model_card.md"}) {
    std::filesystem::remove_all(folder_.path() / part);
  }
  const auto package = open_folder(folder_.path());
  ASSERT_TRUE(package) << package.error().text();
  EXPECT_EQ(package->preprocessing.sample, wire::SampleKind::tensor);
  EXPECT_TRUE(package->labels.empty());
}

TEST_F(PackageFolder, RefusesWhatIsNoPackage) {
  EXPECT_EQ(open_folder(folder_.path() / "none").error().code(), ErrorCode::not_found);
  std::filesystem::remove(folder_.path() / "metadata.json");
  EXPECT_EQ(refused().id(), "VRG-PKG-001");
  EXPECT_THAT(refused().message(), HasSubstr("verge package init"));
}

TEST_F(PackageFolder, RefusesFilesThatHaveNoPlace) {
  put(folder_.path() / "notes.txt", "x");
  EXPECT_EQ(refused().id(), "VRG-PKG-002");
  std::filesystem::remove(folder_.path() / "notes.txt");
  put(folder_.path() / "elsewhere/x", "x");
  EXPECT_THAT(refused().message(), HasSubstr("'elsewhere/x' has no place in a package"));
}

TEST_F(PackageFolder, RefusesLinksToAnywhere) {
  std::filesystem::create_symlink("/etc/passwd", folder_.path() / "model_files/link");
  EXPECT_EQ(refused().id(), "VRG-PKG-002");
}

TEST_F(PackageFolder, RefusesNamedFilesThatAreMissing) {
  std::filesystem::remove(folder_.path() / "golden/out.bin");
  EXPECT_EQ(refused().id(), "VRG-PKG-004");
  EXPECT_THAT(refused().message(), HasSubstr("golden/out.bin"));
  make_sample(folder_.path());
  std::filesystem::rename(folder_.path() / "model_files/model.fake", folder_.path() / "model_files/modl.fake");
  EXPECT_THAT(refused().message(), HasSubstr("did you mean 'model_files/modl.fake'?"));
}

TEST_F(PackageFolder, RefusesPathsThatLeadOutside) {
  put(folder_.path() / "golden/golden.json",
      R"({"version": 1, "samples": [{"name": "s", "tensors": ["../../../etc/passwd"], "outputs": ["out.bin"]}]})");
  EXPECT_EQ(refused().id(), "VRG-BAS-004");
  auto text = test::metadata();
  text.replace(text.find("model_files/model.fake"), 22, "/etc/passwd");
  make_sample(folder_.path());
  put(folder_.path() / "metadata.json", text);
  EXPECT_EQ(refused().id(), "VRG-BAS-004");
}

TEST_F(PackageFolder, AModelMayBeASavedModelFolder) {
  test::make_saved_model(folder_.path());
  const auto package = open_folder(folder_.path());
  ASSERT_TRUE(package) << package.error().text();
  EXPECT_EQ(*package->model_file(), folder_.path() / "model_files/net");
  put(folder_.path() / "model_files/net/variables/variables.index", "other");
  EXPECT_NE(open_folder(folder_.path())->digest, package->digest) << "every file of the folder counts";
  put(folder_.path() / "model_files/net/variables/a\nb", "x");
  EXPECT_EQ(refused().id(), "VRG-BAS-004");
}

TEST_F(PackageFolder, NoOtherFormatIsAFolder) {
  auto text = test::metadata();
  text.replace(text.find("model_files/model.fake"), 22, "model_files");
  put(folder_.path() / "metadata.json", text);
  EXPECT_EQ(refused().id(), "VRG-PKG-004");
}

TEST_F(PackageFolder, ASavedModelFolderMustHoldSomething) {
  test::make_saved_model(folder_.path());
  std::filesystem::remove_all(folder_.path() / "model_files/net");
  std::filesystem::create_directories(folder_.path() / "model_files/net");
  EXPECT_EQ(refused().id(), "VRG-PKG-004");
  put(folder_.path() / "model_files/network", "x");
  EXPECT_EQ(refused().id(), "VRG-PKG-004") << "a name that begins alike is another";
}

TEST_F(PackageFolder, RefusesSamplesThatExpectNothing) {
  put(folder_.path() / "golden/golden.json", R"({"version": 1,
 "samples": [{"name": "empty", "tensors": ["in.bin"]}]})");
  EXPECT_EQ(refused().id(), "VRG-PKG-005");
  EXPECT_THAT(refused().message(), HasSubstr("golden/golden.json line 2: sample 'empty'"));
}

TEST_F(PackageFolder, RefusesSchemasOfTheFuture) {
  auto text = test::metadata();
  text.replace(text.find("\"schema_version\": 1"), 19, "\"schema_version\": 9");
  put(folder_.path() / "metadata.json", text);
  EXPECT_THAT(refused().message(), HasSubstr("metadata.json line 1: 'schema_version'"));
}

}  // namespace
}  // namespace verge::package
