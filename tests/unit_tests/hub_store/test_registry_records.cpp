// What the store remembers of the registry.
#include "store_of.hpp"

namespace verge::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST_F(HubStore, ManifestsTagsAndBlobs) {
  in([](Transaction& t) {
    t.link_blob("a/b", "sha256:1", 5);
    t.link_blob("a/b", "sha256:1", 5);
    t.put(ManifestRecord{"a/b", "sha256:m", "type", "artifact", "", "{}", 7}, {"sha256:1", "sha256:2"});
    for (const char* tag : {"v2", "v1"}) t.put_tag("a/b", tag, "sha256:m");
    EXPECT_THAT(t.tags("a/b"), ElementsAre("v1", "v2"));
    EXPECT_TRUE(t.blob_named("a/b", "sha256:2"));
    EXPECT_TRUE(t.blob_in_use("sha256:2"));
    t.put(ManifestRecord{"a/b", "sha256:s", "type", "signature", "sha256:m", "{}", 7}, {});
    EXPECT_EQ(t.referrers("a/b", "sha256:m").front().artifact_type, "signature");
    EXPECT_TRUE(t.remove_manifest("a/b", "sha256:m"));
    EXPECT_TRUE(t.tags("a/b").empty());
    EXPECT_FALSE(t.blob_in_use("sha256:2"));
    EXPECT_TRUE(t.blob_in_use("sha256:1")) << "linked";
    EXPECT_TRUE(t.has_repository("a/b"));
    EXPECT_FALSE(t.has_repository("a"));
  });
}

TEST_F(HubStore, CountsWhatIsSharedOnce) {
  in([](Transaction& t) {
    t.link_blob("a", "sha256:1", 10);
    t.link_blob("b", "sha256:1", 10);
    t.link_blob("b", "sha256:2", 100);
    t.put(ManifestRecord{"a", "sha256:m", "type", "", "", "{}", 1000}, {"sha256:1"});
    t.put(ManifestRecord{"b", "sha256:m", "type", "", "", "{}", 1000}, {"sha256:1"});
    t.put_tag("b", "v1", "sha256:m");
    EXPECT_EQ(t.registry_bytes(), 1110);
    EXPECT_EQ(t.repository_bytes("a"), 1010);
    EXPECT_EQ(t.repository_bytes("b"), 1110);
    EXPECT_EQ(t.repository_bytes("c"), 0);
    const auto repositories = t.repositories();
    ASSERT_EQ(repositories.size(), 2U);
    EXPECT_EQ(repositories[1].repository, "b");
    EXPECT_EQ(repositories[1].size_bytes, 1110);
    EXPECT_EQ(repositories[1].manifests, 1);
    EXPECT_EQ(repositories[1].tags, 1);
    EXPECT_TRUE(t.has_blob("sha256:2"));
    EXPECT_FALSE(t.has_blob("a", "sha256:2"));
  });
}

TEST_F(HubStore, KnowsWhatNothingNeeds) {
  in([](Transaction& t) {
    for (const char* digest : {"sha256:1", "sha256:2"}) t.link_blob("a", digest, 1);
    t.link_blob("b", "sha256:1", 1);
    t.put(ManifestRecord{"a", "sha256:child", "type", "", "", "{}", 1}, {"sha256:1"});
    t.put(ManifestRecord{"a", "sha256:index", "type", "", "", "{}", 1}, {"sha256:child"});
    t.put(ManifestRecord{"a", "sha256:about", "type", "", "sha256:index", "{}", 1}, {});
    t.put(ManifestRecord{"a", "sha256:orphan", "type", "", "sha256:gone", "{}", 1}, {});
    t.put(ManifestRecord{"a", "sha256:version", "type", "", "", "{}", 1}, {});
    t.put_tag("a", "v1", "sha256:index");
    VersionRecord version;
    version.kind = "model";
    version.name = "a";
    version.version = "1.0.0";
    version.digest = "sha256:version";
    t.add(version);
    const auto blobs = t.unnamed_blobs();
    ASSERT_EQ(blobs.size(), 2U) << "a manifest of 'a' keeps nothing for 'b'";
    EXPECT_EQ(blobs[0].repository + blobs[0].digest, "asha256:2");
    EXPECT_EQ(blobs[1].repository + blobs[1].digest, "bsha256:1");
    auto manifests = t.unreachable_manifests();
    ASSERT_EQ(manifests.size(), 1U);
    EXPECT_EQ(manifests[0].digest, "sha256:orphan");
    t.remove_tag("a", "v1");
    manifests = t.unreachable_manifests();
    ASSERT_EQ(manifests.size(), 2U) << "the index; its child once it has gone";
    EXPECT_EQ(manifests[0].digest, "sha256:index");
    EXPECT_THAT(t.needed_content(), UnorderedElementsAre("sha256:1", "sha256:2", "sha256:child", "sha256:index",
                                                         "sha256:about", "sha256:orphan", "sha256:version"));
  });
}

TEST_F(HubStore, BringsADatabaseOfAnOlderHubUpToDate) {
  const auto file = (folder_.path() / "older.db").string();
  const std::string command =
      "sqlite3 " + file +
      " \"create table schema_version (version bigint not null); insert into schema_version values (1);"
      "create table manifests (repository text not null, digest text not null, primary key (repository, digest));"
      "create table blobs (repository text not null, digest text not null, primary key (repository, digest));"
      "create table uploads (id text primary key, repository text not null, created_ms bigint not null);"
      "insert into blobs values ('a', 'sha256:1'); insert into uploads values ('u', 'a', 7);\"";
  ASSERT_EQ(std::system(command.c_str()), 0);
  auto opened = Store::open(file);
  ASSERT_TRUE(opened) << opened.error().text();
  store_ = std::move(*opened);
  in([](Transaction& t) {
    ASSERT_EQ(t.unmeasured_blobs().size(), 1U);
    t.link_blob("a", "sha256:1", 12);
    EXPECT_THAT(t.unmeasured_blobs(), IsEmpty());
    ASSERT_TRUE(t.upload("u"));
    EXPECT_EQ(t.upload("u")->used_ms, 7);
    t.use_upload("u", 9);
    EXPECT_EQ(t.upload("u")->used_ms, 9);
    EXPECT_EQ(t.upload("u")->created_ms, 7);
  });
}

}  // namespace
}  // namespace verge::hub
