// Quotas and garbage of the registry.
#include <atomic>
#include <fstream>
#include <thread>

#include "fleet_of.hpp"

namespace verge::hub {
namespace {

using testing::HasSubstr;

constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

class HubSpace : public HubTest {
 protected:
  void open_with(const RegistrySetup& setup) {
    setup_ = setup;
    open();
  }
  void pass_s(std::int64_t seconds) { now_ms_ += seconds * 1000; }
  /// Long enough that what has happened so far is no reason to keep anything.
  void pass_grace() { pass_s(3601); }
  wire::GarbageReport collect(bool dry_run = false, bool untagged = false) {
    return must(hub_->registry().collect_garbage(admin_, dry_run, untagged));
  }
  bool has_file(const std::string& digest) const {
    const auto colon = digest.find(':');
    return std::filesystem::exists(folder_.path() / "hub" / "blobs" / digest.substr(0, colon) /
                                   digest.substr(colon + 1));
  }
  static std::string manifest_of(const std::string& digest) {
    return R"({"config":{"mediaType":"a/b","digest":")" + digest + R"("},"layers":[]})";
  }
  /// Pushes a manifest that names a blob of this content.
  Result<Registry::Manifest> put(const std::string& repository, const std::string& tag, const std::string& content) {
    return hub_->registry().put_manifest(admin_, repository, tag, kManifestType,
                                         manifest_of(blob(repository, content)));
  }
  Registry::Piece piece(const std::string& content) {
    const auto file = folder_.path() / "part";
    EXPECT_TRUE(write_file(file, std::string_view(content)));
    return {file};
  }
};

// --- quotas

TEST_F(HubSpace, AQuotaOfTheRegistryCountsWhatIsSharedOnce) {
  RegistrySetup setup;
  setup.quota_bytes = 1000;
  open_with(setup);
  auto& registry = hub_->registry();
  const auto digest = blob("a", std::string(600, 'x'));
  EXPECT_TRUE(must(registry.mount(admin_, "b", digest, "a")));
  EXPECT_EQ(must(registry.usage(admin_)).size_bytes, 600);
  EXPECT_EQ(registry.room_bytes("c"), 400U);
  const auto id = must(registry.begin_upload(admin_, "c")).id;
  const auto refused = registry.append(admin_, "c", id, piece(std::string(401, 'y')));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "VRG-OCI-012");
  EXPECT_THAT(refused.error().message(), HasSubstr("at most 1000 bytes in the registry, got 600 and 401 more"));
  EXPECT_THAT(refused.error().message(), HasSubstr("--registry-quota"));
  ASSERT_TRUE(registry.append(admin_, "c", id, piece(std::string(400, 'y'))));
  EXPECT_EQ(registry.room_bytes("c"), 0U) << "unfinished uploads count";
  EXPECT_EQ(registry.begin_upload(admin_, "d").error().id(), "VRG-OCI-012");
  EXPECT_EQ(registry.put_manifest(admin_, "a", "v1", kManifestType, manifest_of(digest)).error().id(), "VRG-OCI-012");
  ASSERT_TRUE(registry.cancel(admin_, "c", id));
  EXPECT_TRUE(registry.put_manifest(admin_, "a", "v1", kManifestType, manifest_of(digest)));
  EXPECT_EQ(must(registry.usage(admin_)).size_bytes, std::ssize(manifest_of(digest)) + 600);
}

TEST_F(HubSpace, AQuotaOfARepositoryIsItsOwn) {
  RegistrySetup setup;
  setup.repository_quota_bytes = 1000;
  open_with(setup);
  auto& registry = hub_->registry();
  const auto digest = blob("a", std::string(900, 'x'));
  blob("b", std::string(600, 'y'));
  EXPECT_EQ(registry.mount(admin_, "b", digest, "a").error().id(), "VRG-OCI-012");
  EXPECT_FALSE(registry.blob(admin_, "b", digest));
  EXPECT_TRUE(must(registry.mount(admin_, "a", digest, "a"))) << "it has that";
  EXPECT_EQ(registry.room_bytes("a"), 100U);
  EXPECT_EQ(registry.room_bytes("b"), 400U);
  EXPECT_EQ(registry.check_room("a", 101).error().id(), "VRG-OCI-012");
  EXPECT_TRUE(registry.check_room("a", 100));
  const auto usage = must(registry.usage(with(wire::Right::read)));
  EXPECT_EQ(usage.size_bytes, 1500);
  EXPECT_EQ(usage.repository_quota_bytes, 1000);
  EXPECT_FALSE(usage.quota_bytes);
  ASSERT_EQ(usage.repositories.size(), 2U);
  EXPECT_EQ(usage.repositories[0].size_bytes, 900);
}

TEST_F(HubSpace, TheDiskKeepsAReserve) {
  RegistrySetup setup;
  setup.disk_reserve_bytes = std::uint64_t{1} << 62U;
  open_with(setup);
  EXPECT_EQ(hub_->registry().room_bytes("a"), 0U);
  EXPECT_EQ(hub_->registry().begin_upload(admin_, "a").error().id(), "VRG-OCI-015");
}

TEST_F(HubSpace, ADatabaseWithoutSizesIsMeasured) {
  blob("a", std::string(600, 'x'));
  hub_.reset();
  const auto command =
      "sqlite3 " + (folder_.path() / "hub" / "hub.db").string() + " 'update blobs set size_bytes = -1'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  open();
  EXPECT_EQ(must(hub_->registry().usage(admin_)).size_bytes, 600);
}

// --- garbage

TEST_F(HubSpace, WhatNothingNeedsGoesAfterTheGracePeriod) {
  const auto digest = push("cat", "1.0.0");
  const auto weights = crypto::sha256("weights of 1.0.0");
  const auto lone = blob("a", "lone");
  const auto wide = blob("a", "lone", crypto::DigestAlgorithm::sha512);
  pass_s(3599);
  EXPECT_EQ(collect().files, 0) << "fresh";
  pass_s(2);
  const auto dry = collect(true);
  EXPECT_TRUE(dry.dry_run);
  EXPECT_EQ(dry.files, 2);
  EXPECT_EQ(dry.size_bytes, 8);
  EXPECT_EQ(dry.grace_s, 3600);
  EXPECT_TRUE(has_file(lone) && hub_->registry().blob(admin_, "a", lone));
  pass_grace();
  const auto done = collect();
  EXPECT_EQ(done.files, 2);
  EXPECT_EQ(done.size_bytes, 8);
  EXPECT_FALSE(has_file(lone) || has_file(wide));
  EXPECT_EQ(hub_->registry().blob(admin_, "a", lone).error().id(), "VRG-OCI-001");
  EXPECT_TRUE(has_file(digest) && has_file(weights));
  EXPECT_EQ(must(hub_->events(admin_, 0, 1)).events.front().action, "registry.collect");
  EXPECT_EQ(collect().files, 0);
}

TEST_F(HubSpace, WhoAskedForABlobMayRelyOnIt) {
  const auto lone = blob("a", "lone");
  pass_grace();
  ASSERT_TRUE(hub_->registry().blob(admin_, "a", lone));
  ASSERT_TRUE(must(hub_->registry().mount(admin_, "b", lone, "a")));
  pass_s(3599);
  EXPECT_EQ(collect().files, 0);
  EXPECT_TRUE(hub_->registry().put_manifest(admin_, "b", "v1", kManifestType, manifest_of(lone)));
  pass_grace();
  EXPECT_EQ(collect().files, 0) << "a manifest of 'b' names it";
  EXPECT_FALSE(hub_->registry().blob(admin_, "a", lone)) << "nothing in 'a' does";
  EXPECT_TRUE(hub_->registry().blob(admin_, "b", lone));
}

TEST_F(HubSpace, AfterAStartEverythingCountsAsFresh) {
  blob("a", "lone");
  pass_grace();
  open();
  pass_s(3599);
  EXPECT_EQ(collect().files, 0);
  pass_s(2);
  EXPECT_EQ(collect().files, 1);
}

TEST_F(HubSpace, ADeletedVersionFreesWhatNoOtherNeeds) {
  const auto first = push("cat", "1.0.0");
  const auto second = push("cat", "2.0.0");
  ASSERT_TRUE(hub_->delete_model_version(admin_, "cat", "1.0.0"));
  EXPECT_FALSE(has_file(first));
  pass_grace();
  EXPECT_EQ(collect().files, 2) << "its metadata and weights; the configuration is shared";
  EXPECT_FALSE(has_file(crypto::sha256("weights of 1.0.0")));
  for (const auto& kept : {second, crypto::sha256("{}"), crypto::sha256("weights of 2.0.0")}) {
    EXPECT_TRUE(has_file(kept)) << kept;
  }
}

TEST_F(HubSpace, ApplicationsAreNeeded) {
  push("cat", "1.0.0");
  wire::Application application;
  application.name = "watch";
  application.version = "1.0.0";
  application.models.resize(1);
  application.models[0].model = "cat";
  application.models[0].version = "1.0.0";
  const auto made = must(hub_->add_application(admin_, application));
  pass_grace();
  EXPECT_EQ(collect(false, true).files, 0);
  EXPECT_TRUE(has_file(made.info.digest));
}

TEST_F(HubSpace, WhatACrashLeftGoesAtOnce) {
  const auto folder = folder_.path() / "hub" / "blobs" / "sha512";
  std::ofstream(folder / std::string(128, 'a')) << "an upload whose commit was lost";
  std::ofstream(folder / (".b.123456")) << "a manifest that was being written";
  const auto done = collect();
  EXPECT_EQ(done.files, 2);
  EXPECT_EQ(done.size_bytes, 64);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST_F(HubSpace, UploadsExpireAfterAWeekOfSilence) {
  auto& registry = hub_->registry();
  const auto idle = must(registry.begin_upload(admin_, "a")).id;
  const auto going = must(registry.begin_upload(admin_, "a")).id;
  ASSERT_TRUE(registry.append(admin_, "a", idle, piece("12345")));
  pass_s(4 * 86400);
  ASSERT_TRUE(registry.append(admin_, "a", going, piece("12345")));
  pass_s(3 * 86400);
  const auto done = collect();
  EXPECT_EQ(done.uploads, 1);
  EXPECT_EQ(done.size_bytes, 5);
  EXPECT_FALSE(registry.upload(admin_, "a", idle));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "hub" / "uploads" / idle));
  EXPECT_TRUE(registry.upload(admin_, "a", going));
}

TEST_F(HubSpace, ManifestsWithoutATagGoWhenThatIsAsked) {
  auto& registry = hub_->registry();
  const auto child = must(put("a", "child", "child")).digest;
  const auto index = R"({"manifests":[{"digest":")" + child + R"("}]})";
  must(registry.put_manifest(admin_, "a", "index", "a/index", index));
  const auto about = R"({"manifests":[],"subject":{"digest":")" + child + R"("}})";
  const auto about_digest = crypto::sha256(about);
  must(registry.put_manifest(admin_, "a", about_digest, "a/index", about));
  ASSERT_TRUE(registry.delete_manifest(admin_, "a", "child"));
  push("cat", "1.0.0");
  pass_grace();
  EXPECT_EQ(collect(false, true).manifests, 0) << "an index names the one, the other is about it";
  ASSERT_TRUE(registry.delete_manifest(admin_, "a", "index"));
  pass_grace();
  EXPECT_EQ(collect().manifests, 0) << "not asked";
  ASSERT_TRUE(registry.manifest(admin_, "a", about_digest));
  pass_s(10);
  const auto some = collect(false, true);
  EXPECT_EQ(some.manifests, 2) << "the index, then its child";
  EXPECT_TRUE(has_file(about_digest)) << "asked for just now";
  pass_grace();
  EXPECT_EQ(collect(false, true).manifests, 1);
  EXPECT_FALSE(has_file(about_digest) || has_file(child) || has_file(crypto::sha256("child")));
  EXPECT_TRUE(hub_->model(admin_, "cat"));
}

TEST_F(HubSpace, CollectsByItselfEveryHour) {
  setup_.remove_untagged = true;
  open();
  const auto untagged = must(put("a", "v1", "x")).digest;
  ASSERT_TRUE(hub_->registry().delete_manifest(admin_, "a", "v1"));
  pass_s(3599);
  hub_->registry().collect_when_due();
  EXPECT_TRUE(has_file(untagged));
  pass_s(2);
  hub_->registry().collect_when_due();
  EXPECT_FALSE(has_file(untagged));
  blob("a", "lone");
  pass_s(3599);
  hub_->registry().collect_when_due();
  EXPECT_EQ(must(hub_->events(admin_, 0, 1)).events.front().who, "hub");
  EXPECT_TRUE(has_file(crypto::sha256("lone"))) << "not yet";
  pass_s(7200);
  hub_->registry().collect_when_due();
  EXPECT_FALSE(has_file(crypto::sha256("lone")));
}

TEST_F(HubSpace, CollectingNeedsTheRight) {
  for (const auto right : {wire::Right::read, wire::Right::publish, wire::Right::deploy}) {
    EXPECT_EQ(hub_->registry().collect_garbage(with(right), true, false).error().id(), "VRG-HUB-011");
  }
}

/// Collections run without pause while models are pushed, tagged anew and deleted; no manifest ever names what is gone.
class HubSpaceBesidePushes : public HubSpace, public testing::WithParamInterface<int> {};

TEST_P(HubSpaceBesidePushes, NoManifestNamesWhatIsGone) {
  setup_.grace_ms = GetParam();
  open();
  pass_s(2 * 3600);  // Past the start, from which on the hub remembers.
  auto& registry = hub_->registry();
  std::atomic<bool> stop{false};
  std::atomic<int> refused{0};
  std::jthread collector([&] {
    while (!stop) must(registry.collect_garbage(admin_, false, true));
  });
  std::vector<std::jthread> pushers;
  for (int number = 0; number < 3; ++number) {
    pushers.emplace_back([&, number] {
      const auto repository = "r" + std::to_string(number);
      for (int i = 0; i < 60; ++i) {
        // Shared by all repositories, and named by a manifest for a moment only.
        const auto content = "content " + std::to_string(i % 3);
        const auto file = folder_.path() / repository;
        EXPECT_TRUE(write_file(file, std::string_view(content)));
        const auto digest = crypto::sha256(content);
        const auto id = must(registry.begin_upload(admin_, repository)).id;
        EXPECT_TRUE(registry.finish(admin_, repository, id, digest, {file}));
        const auto made = registry.put_manifest(admin_, repository, "v1", kManifestType, manifest_of(digest));
        if (!made) {
          EXPECT_EQ(made.error().id(), "VRG-OCI-007");
          ++refused;
          continue;
        }
        EXPECT_TRUE(registry.manifest(admin_, repository, "v1")) << "tagged";
        EXPECT_TRUE(registry.blob(admin_, repository, digest)) << "named by a manifest";
        if (i % 2 == 0) {
          EXPECT_TRUE(registry.delete_manifest(admin_, repository, made->digest));
        }
      }
    });
  }
  pushers.clear();
  stop = true;
  collector.join();
  if (GetParam() > 0) {
    EXPECT_EQ(refused, 0) << "what was pushed just now is kept";
  }
}

INSTANTIATE_TEST_SUITE_P(Grace, HubSpaceBesidePushes, testing::Values(0, 3'600'000));

}  // namespace
}  // namespace verge::hub
