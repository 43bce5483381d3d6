#include <atomic>
#include <set>
#include <thread>

#include "fleet_of.hpp"
#include "verge/wire/document.hpp"

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
  for (const auto& tag :
       {std::string(), std::string("a\r\nb"), std::string("-a"), std::string("ä"), std::string(129, 'a')}) {
    const auto made = registry.put_manifest(admin_, "tools/x", tag, kIndexType, kIndex);
    ASSERT_FALSE(made) << tag;
    EXPECT_EQ(made.error().id(), "VRG-OCI-011") << tag;
  }
  EXPECT_EQ(must(registry.tags(admin_, "tools/x")).size(), 4U);
}

TEST_F(HubRegistry, KnowsTwoAlgorithmsAndNoOther) {
  auto& registry = hub_->registry();
  for (const auto algorithm : {crypto::DigestAlgorithm::sha256, crypto::DigestAlgorithm::sha512}) {
    const auto digest = blob("a", "content", algorithm);
    EXPECT_EQ(digest, crypto::digest(algorithm, "content"));
    EXPECT_EQ(must(registry.blob(admin_, "a", digest)).size_bytes, 7U);
    EXPECT_FALSE(must(registry.mount(admin_, "b", digest, "c"))) << "not there";
    EXPECT_TRUE(must(registry.mount(admin_, "b", digest, "a")));
    EXPECT_TRUE(must(registry.mount(admin_, "c", digest, ""))) << "wherever it is";
    EXPECT_TRUE(registry.delete_blob(admin_, "a", digest));
    EXPECT_EQ(registry.blob(admin_, "a", digest).error().id(), "VRG-OCI-001");
    EXPECT_TRUE(registry.blob(admin_, "b", digest));
  }
  for (const auto& bad : {"sha384:" + std::string(96, '0'), "sha256:" + std::string(64, 'A'),
                          "sha512:" + std::string(64, 'a'), std::string("content"), std::string()}) {
    EXPECT_EQ(registry.blob(admin_, "a", bad).error().id(), "VRG-OCI-004") << bad;
    EXPECT_EQ(registry.mount(admin_, "b", bad, "").error().id(), "VRG-OCI-004") << bad;
    EXPECT_EQ(registry.delete_blob(admin_, "a", bad).error().id(), "VRG-OCI-004") << bad;
    EXPECT_EQ(registry.referrers(admin_, "a", bad, "", "").error().id(), "VRG-OCI-004") << bad;
  }
}

TEST_F(HubRegistry, ManifestsByAnyDigestGetTagsAndReferrers) {
  auto& registry = hub_->registry();
  const auto digest = crypto::digest(crypto::DigestAlgorithm::sha512, kIndex);
  const auto made = must(registry.put_manifest(admin_, "tools/x", digest, kIndexType, kIndex, {"one", "two"}));
  EXPECT_EQ(made.digest, digest);
  EXPECT_EQ(must(registry.manifest(admin_, "tools/x", "two")).digest, digest);
  EXPECT_EQ(must(registry.manifest(admin_, "tools/x", digest)).content, kIndex);
  EXPECT_EQ(must(registry.tags(admin_, "tools/x")).size(), 2U);
  EXPECT_EQ(registry.put_manifest(admin_, "tools/x", digest, kIndexType, "{\"manifests\":[]}").error().id(),
            "VRG-HUB-004");
  EXPECT_EQ(registry.put_manifest(admin_, "tools/x", digest, kIndexType, kIndex, {"-"}).error().id(), "VRG-OCI-011");
  EXPECT_EQ(registry.put_manifest(admin_, "tools/x", "sha512:0", kIndexType, kIndex).error().id(), "VRG-OCI-004");
  const auto about = R"({"manifests":[],"artifactType":"x/y","subject":{"digest":")" + digest + R"("}})";
  EXPECT_EQ(must(registry.put_manifest(admin_, "tools/x", "about", kIndexType, about)).subject, digest);
  EXPECT_NE(must(registry.referrers(admin_, "tools/x", digest, "x/y", "")).index.find(crypto::sha256(about)),
            std::string::npos);
  EXPECT_TRUE(registry.delete_manifest(admin_, "tools/x", digest));
  EXPECT_EQ(registry.manifest(admin_, "tools/x", "one").error().id(), "VRG-OCI-005") << "its tags go with it";
}

TEST_F(HubRegistry, ReferrersComeInPagesThatFitIntoAManifest) {
  auto& registry = hub_->registry();
  const auto subject = crypto::sha256("subject");
  for (int i = 0; i < 5; ++i) {
    const auto about = R"({"manifests":[],"subject":{"digest":")" + subject + R"("},"annotations":{"a":")" +
                       std::string(1'500'000, static_cast<char>('a' + i)) + R"("}})";
    ASSERT_TRUE(registry.put_manifest(admin_, "tools/x", "t" + std::to_string(i), kIndexType, about));
  }
  std::set<std::string> seen;
  std::string after;
  int pages = 0;
  do {
    const auto page = must(registry.referrers(admin_, "tools/x", subject, "", after));
    EXPECT_LE(page.index.size(), kManifestLimitBytes);
    const auto index = must(wire::parse_json(page.index, "index"));
    for (const auto& item : index.find("manifests")->items) {
      EXPECT_TRUE(seen.insert(item.find("digest")->text).second);
    }
    after = page.next;
    ++pages;
  } while (!after.empty());
  EXPECT_EQ(seen.size(), 5U);
  EXPECT_EQ(pages, 3);
}

TEST_F(HubRegistry, ModelPackagesBySha512AreKeptButNoVersions) {
  const auto algorithm = crypto::DigestAlgorithm::sha512;
  const auto layer = blob("models/cat", "{}", algorithm);
  const auto manifest = R"({"artifactType":"application/vnd.cncf.model.manifest.v1+json","config":{"digest":")" +
                        layer + R"("},"layers":[{"digest":")" + layer +
                        R"(","annotations":{"org.cncf.model.filepath":"metadata.json"}}]})";
  auto& registry = hub_->registry();
  EXPECT_EQ(registry.put_manifest(admin_, "models/cat", "1.0.0", "a/b", manifest).error().id(), "VRG-HUB-029");
  EXPECT_TRUE(registry.put_manifest(admin_, "models/cat", crypto::digest(algorithm, manifest), "a/b", manifest));
  EXPECT_FALSE(hub_->model(admin_, "cat"));
}

TEST_F(HubRegistry, ManifestsHaveALimitAndTheirTypesNoParameters) {
  auto& registry = hub_->registry();
  const auto large = R"({"manifests":[],"x":")" + std::string(kManifestLimitBytes, 'x') + "\"}";
  EXPECT_EQ(registry.put_manifest(admin_, "tools/x", "1", kIndexType, large).error().id(), "VRG-OCI-014");
  ASSERT_TRUE(registry.put_manifest(admin_, "tools/x", "1", std::string(kIndexType) + " ; charset=utf-8", kIndex));
  EXPECT_EQ(must(registry.manifest(admin_, "tools/x", "1")).media_type, kIndexType);
}

/// Pieces of an upload.
class HubUploads : public HubTest {
 protected:
  Registry::Piece piece(const std::string& content, std::optional<std::uint64_t> first = {},
                        std::optional<std::uint64_t> last = {}) {
    const auto file = folder_.path() / ("piece" + std::to_string(pieces_++));
    EXPECT_TRUE(write_file(file, std::string_view(content)));
    return {file, first, last};
  }
  std::atomic<int> pieces_{0};
};

TEST_F(HubUploads, GoOnWhereTheyEndOnly) {
  auto& registry = hub_->registry();
  const auto id = must(registry.begin_upload(admin_, "a")).id;
  EXPECT_EQ(must(registry.append(admin_, "a", id, piece("abc", 0, 2))).size_bytes, 3U);
  EXPECT_EQ(registry.append(admin_, "a", id, piece("abc", 0, 2)).error().id(), "VRG-OCI-003");
  EXPECT_EQ(registry.append(admin_, "a", id, piece("def", 4, 6)).error().id(), "VRG-OCI-003");
  EXPECT_EQ(registry.append(admin_, "a", id, piece("def", 3, 9)).error().id(), "VRG-OCI-013");
  EXPECT_EQ(registry.append(admin_, "b", id, piece("def")).error().id(), "VRG-OCI-002");
  EXPECT_EQ(must(registry.upload(admin_, "a", id)).size_bytes, 3U) << "what was refused left nothing";
  EXPECT_EQ(must(registry.finish(admin_, "a", id, crypto::sha256("abcdef"), piece("def", 3, 5))).size_bytes, 6U);
  EXPECT_EQ(registry.upload(admin_, "a", id).error().id(), "VRG-OCI-002");
}

TEST_F(HubUploads, WithAWrongDigestAreAsBefore) {
  auto& registry = hub_->registry();
  const auto id = must(registry.begin_upload(admin_, "a")).id;
  ASSERT_TRUE(registry.append(admin_, "a", id, piece("good ")));
  EXPECT_EQ(registry.finish(admin_, "a", id, crypto::sha256("good content"), piece("cntent")).error().id(),
            "VRG-HUB-004");
  EXPECT_EQ(must(registry.upload(admin_, "a", id)).size_bytes, 5U);
  EXPECT_EQ(registry.finish(admin_, "a", id, "sha1:00", piece("content")).error().id(), "VRG-OCI-004");
  EXPECT_TRUE(registry.finish(admin_, "a", id, crypto::sha256("good content"), piece("content")));
}

TEST_F(HubUploads, AreChangedByOneRequestAtATime) {
  auto& registry = hub_->registry();
  const std::string content(3'000'000, 'x');
  const auto digest = crypto::sha256(content);
  for (int round = 0; round < 5; ++round) {
    const auto id = must(registry.begin_upload(admin_, "a")).id;
    std::atomic<int> made{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const auto done = registry.finish(admin_, "a", id, digest, piece(content));
        if (done) {
          ++made;
        } else {
          EXPECT_TRUE(done.error().id() == "VRG-OCI-016" || done.error().id() == "VRG-OCI-002") << done.error().text();
        }
      });
    }
    threads.clear();
    EXPECT_EQ(made, 1);
    EXPECT_EQ(crypto::sha256(*read_text(must(registry.blob(admin_, "a", digest)).file, content.size())), digest);
    ASSERT_TRUE(registry.delete_blob(admin_, "a", digest));
  }
}

TEST_F(HubRegistry, RefusesMediaTypesThatNoHeaderCanHold) {
  const auto made = hub_->registry().put_manifest(
      admin_, "tools/x", "1", "", R"({"mediaType":"application/json\r\nSet-Cookie: a=b","manifests":[]})");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().id(), "VRG-OCI-006");
}

}  // namespace
}  // namespace verge::hub
