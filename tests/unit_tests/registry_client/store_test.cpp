// Layouts and copies between them: what is there afterwards, and what is refused.
#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/registry_client/copy.hpp"
#include "verge/registry_client/layout.hpp"

namespace verge::registry_client {
namespace {

using testing::SizeIs;

class Stores : public ::testing::Test {
 protected:
  std::unique_ptr<ArtifactStore> open(const std::string& name) {
    auto store = open_layout(folder_.path() / name);
    EXPECT_TRUE(store) << store.error().text();
    return std::move(*store);
  }
  Descriptor blob(const std::string& content) {
    const auto digest = crypto::sha256(content);
    EXPECT_TRUE(write_file(folder_.path() / "files" / digest, std::string_view(content)));
    return {"application/octet-stream", digest, content.size(), "", ""};
  }
  static std::string text(const Descriptor& d) {
    return R"({"mediaType": ")" + d.media_type + R"(", "digest": ")" + d.digest + R"(", "size": )" +
           std::to_string(d.size_bytes) + "}";
  }
  /// Puts an artifact with one layer, and a subject if any, into a store.
  Artifact put(ArtifactStore& store, const std::string& layer, const std::string& tag,
               const Artifact* subject = nullptr) {
    const auto config = blob("{}");
    const auto content = blob(layer);
    std::string json = R"({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": )" +
                       text(config) + R"(, "layers": [)" + text(content) + "]";
    if (subject != nullptr) {
      json += R"(, "subject": )" + text({subject->media_type, subject->digest, subject->content.size(), "", ""});
    }
    auto artifact = *parse_artifact(json + "}", "", "", "test");
    for (const auto& one : {config, content}) {
      EXPECT_TRUE(store.put(one, folder_.path() / "files" / one.digest, folder_.path() / "scratch", progress_));
    }
    EXPECT_TRUE(store.put(artifact, tag));
    return artifact;
  }
  CopyOptions options(bool referrers = false) {
    CopyOptions made;
    made.scratch = folder_.path() / "scratch";
    made.referrers = referrers;
    return made;
  }
  std::filesystem::path blob_path(const std::string& layout, const std::string& digest) {
    return folder_.path() / layout / "blobs" / "sha256" / digest.substr(7);
  }
  Progress progress_ = [](std::string_view, std::uint64_t, std::uint64_t) {};
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge_stores"));
};

TEST_F(Stores, ACopyHasWhatWasCopied) {
  auto from = open("a");
  auto to = open("b");
  const auto artifact = put(*from, "weights", "1.0");
  const auto signature = put(*from, "signature", "", &artifact);
  const auto more = put(*from, "about the signature", "", &signature);
  const auto first = copy(*from, "1.0", *to, "2.0", options());
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(first->sent_bytes, 2U + 7U);
  EXPECT_EQ(to->artifact("2.0")->content, artifact.content);
  EXPECT_EQ(to->artifact("1.0").error().id(), "VRG-REG-006");
  EXPECT_THAT(*to->referrers(artifact.digest), SizeIs(0));
  const auto second = copy(*from, artifact.digest, *to, "2.0", options(true));
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_EQ(second->referrers, 2U);
  EXPECT_EQ(second->present_bytes, 2U + 7U + 2U + 2U) << "the config is shared";
  EXPECT_THAT(*to->referrers(artifact.digest), SizeIs(1));
  EXPECT_EQ(to->artifact(more.digest)->content, more.content);
}

TEST_F(Stores, WhatIsDamagedIsNotCopied) {
  auto from = open("a");
  auto to = open("b");
  const auto artifact = put(*from, "weights", "1.0");
  const auto& layer = artifact.blobs.back();
  ASSERT_TRUE(write_file(blob_path("a", layer.digest), std::string_view("Weights")));
  EXPECT_EQ(copy(*from, "1.0", *to, "1.0", options()).error().id(), "VRG-REG-007");
  EXPECT_FALSE(to->artifact("1.0")) << "the manifest comes last";
  ASSERT_TRUE(write_file(blob_path("a", artifact.digest), std::string_view("{}")));
  EXPECT_EQ(from->artifact("1.0").error().id(), "VRG-REG-007");
}

TEST_F(Stores, WhatIsDamagedIsWrittenAgain) {
  auto from = open("a");
  auto to = open("b");
  const auto artifact = put(*from, "weights", "1.0");
  ASSERT_TRUE(copy(*from, "1.0", *to, "1.0", options()));
  const auto path = blob_path("b", artifact.blobs.back().digest);
  ASSERT_TRUE(write_file(path, std::string_view("Weights")));
  ASSERT_TRUE(copy(*from, "1.0", *to, "1.0", options()));
  EXPECT_EQ(*read_text(path, 100), "weights");
}

TEST_F(Stores, ATagMovesAndAPackageMayHaveSeveral) {
  auto store = open("a");
  const auto one = put(*store, "one", "");
  ASSERT_TRUE(store->put(one, "x"));
  ASSERT_TRUE(store->put(one, "y"));
  EXPECT_THAT(*package::list_layout(folder_.path() / "a"), SizeIs(2)) << "x and y; the nameless entry got a name";
  const auto two = put(*store, "two", "x");
  EXPECT_EQ(store->artifact("x")->digest, two.digest);
  EXPECT_EQ(store->artifact("y")->digest, one.digest);
  ASSERT_TRUE(store->put(one, ""));
  EXPECT_THAT(*package::list_layout(folder_.path() / "a"), SizeIs(2));
}

TEST_F(Stores, PruningKeepsWhatIsNamed) {
  auto store = open("a");
  const auto one = put(*store, "one", "x");
  const auto two = put(*store, "two", "y");
  put(*store, "three", "");
  ASSERT_TRUE(prune_layout(folder_.path() / "a", {"y"}, folder_blobs(folder_.path() / "a")));
  EXPECT_THAT(*package::list_layout(folder_.path() / "a"), SizeIs(1));
  EXPECT_FALSE(std::filesystem::exists(blob_path("a", one.blobs.back().digest)));
  EXPECT_TRUE(std::filesystem::exists(blob_path("a", two.blobs.back().digest)));
  EXPECT_TRUE(std::filesystem::exists(blob_path("a", two.blobs.front().digest))) << "shared with what went";
  EXPECT_TRUE(*store->has(two.blobs.back()));
  ASSERT_TRUE(prune_layout(folder_.path() / "nowhere", {}, folder_blobs(folder_.path() / "nowhere")));
}

}  // namespace
}  // namespace verge::registry_client
