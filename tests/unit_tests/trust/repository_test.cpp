#include "verge/trust/repository.hpp"

#include <gmock/gmock.h>

#include "memory_repository.hpp"
#include "repository_files.hpp"

namespace verge::trust {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class TrustRepository : public testing::Test {
 protected:
  Result<Repository> open(std::int64_t now_s = kNow_s) const { return Repository::open(folder_.path(), {}, now_s); }
  /// Whether a client that trusts `root` finds target "a" now.
  static std::string try_client(const Repository& repository, std::int64_t now_s = kNow_s) {
    MemoryStore store;
    RepositorySource source(repository);
    auto client = Client::open(store, repository.root());
    if (!client) return client.error().text();
    if (auto done = client->refresh(source, now_s); !done) return done.error().text();
    const auto found = client->target(source, "a", now_s);
    return found ? found->digest : found.error().text();
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path() / "metadata")) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("trust"));
};

TEST_F(TrustRepository, MakesKeysForItsOwnerAlone) {
  ASSERT_TRUE(open());
  for (const std::string role : {"root", "targets", "snapshot", "timestamp"}) {
    const auto mode = fs::status(folder_.path() / "keys" / (role + ".pem")).permissions();
    EXPECT_EQ(mode, fs::perms::owner_read | fs::perms::owner_write) << role;
  }
  EXPECT_THAT(files(), ElementsAre("1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"));
}

TEST_F(TrustRepository, OpensAgainAsItWas) {
  auto custom = wire::Node::map();
  custom.add("engine", wire::Node::string("litert"));
  {
    auto repository = std::move(*open());
    auto target = target_of("a", "1");
    target.custom = custom;
    ASSERT_TRUE(repository.publish({target_of("b", "2"), target}, kNow_s));
  }
  const auto again = open();
  ASSERT_TRUE(again);
  ASSERT_EQ(again->targets().size(), 2U);
  EXPECT_EQ(again->targets()[0].path, "a");
  EXPECT_EQ(again->targets()[0].custom.find("engine")->text, "litert");
  EXPECT_EQ(try_client(*again), crypto::sha256("1"));
}

TEST_F(TrustRepository, PublishingTheSameWritesNothing) {
  auto repository = std::move(*open());
  ASSERT_TRUE(repository.publish({target_of("a", "1"), target_of("b", "2")}, kNow_s));
  const auto before = files();
  ASSERT_TRUE(repository.publish({target_of("b", "2"), target_of("a", "1")}, kNow_s + 1));
  EXPECT_EQ(files(), before);
  ASSERT_TRUE(repository.publish({target_of("a", "1"), target_of("a", "2")}, kNow_s));
  ASSERT_EQ(repository.targets().size(), 1U) << "of two with one path the last counts";
  EXPECT_EQ(repository.targets()[0].digest, crypto::sha256("2"));
}

TEST_F(TrustRepository, WhatCannotBeSignedIsRefusedAndChangesNothing) {
  auto repository = std::move(*open());
  ASSERT_TRUE(repository.publish({target_of("a", "1")}, kNow_s));
  auto half = target_of("b", "2");
  half.custom = wire::Node::number(0.5);
  EXPECT_EQ(repository.publish({half}, kNow_s).error().id(), "VRG-TUF-002");
  EXPECT_EQ(repository.publish({{"b", 1, "md5:00", {}}}, kNow_s).error().id(), "VRG-TUF-002");
  EXPECT_EQ(try_client(repository), crypto::sha256("1"));
}

TEST_F(TrustRepository, RenewsWhatHasLessThanHalfItsLifeLeft) {
  auto repository = std::move(*open());
  ASSERT_TRUE(repository.publish({target_of("a", "1")}, kNow_s));
  EXPECT_FALSE(*repository.renew(kNow_s + 3 * kDay_s));
  // Half of a timestamp's 7 days, a snapshot's 30, the targets' 365 and the root's 3650.
  for (const int days : {4, 16, 183, 1826}) {
    const auto now_s = kNow_s + days * kDay_s;
    EXPECT_TRUE(*repository.renew(now_s)) << days;
    EXPECT_FALSE(*repository.renew(now_s)) << days;
    EXPECT_EQ(try_client(repository, now_s), crypto::sha256("1")) << days;
  }
  EXPECT_THAT(repository.root(), HasSubstr("\"version\": 2"));
}

TEST_F(TrustRepository, RotatesEveryKey) {
  auto repository = std::move(*open());
  ASSERT_TRUE(repository.publish({target_of("a", "1")}, kNow_s));
  for (const std::string_view role : {"timestamp", "snapshot", "targets", "root"}) {
    const auto before = *read_private_key(folder_.path(), role, false);
    ASSERT_TRUE(repository.rotate(role, kNow_s)) << role;
    EXPECT_NE(read_private_key(folder_.path(), role, false)->public_key().fingerprint(),
              before.public_key().fingerprint());
    EXPECT_EQ(try_client(repository), crypto::sha256("1")) << role;
    EXPECT_EQ(try_client(*open()), crypto::sha256("1")) << role;
  }
  EXPECT_EQ(repository.rotate("mirrors", kNow_s).error().id(), "VRG-TUF-011");
}

/// A copy of the folder after each file that is written stands for a crash there.
TEST_F(TrustRepository, ACrashAtAnyFileOfARotationIsMended) {
  for (const std::string role : {"timestamp", "snapshot", "targets", "root"}) {
    const auto base = folder_.path() / role;
    auto repository = std::move(*Repository::open(base / "old", {}, kNow_s));
    ASSERT_TRUE(repository.publish({target_of("a", "1")}, kNow_s));
    fs::copy(base / "old", base / "new", fs::copy_options::recursive);
    auto rotated = std::move(*Repository::open(base / "new", {}, kNow_s));
    ASSERT_TRUE(rotated.rotate(role, kNow_s));
    // In the order of writing: the next key, the root, then the key's place, then what the key signs.
    std::vector<fs::path> steps{fs::path("metadata") / "2.root.json"};
    for (const std::string name : {"3.targets.json", "3.snapshot.json"}) {
      if (fs::exists(base / "new" / "metadata" / name)) steps.push_back(fs::path("metadata") / name);
    }
    const auto crashed = base / "old";
    fs::copy(base / "new" / "keys" / (role + ".pem"), crashed / "keys" / (role + ".next.pem"));
    EXPECT_EQ(try_client(*Repository::open(crashed, {}, kNow_s)), crypto::sha256("1")) << role << " before the root";
    for (const auto& step : steps) {
      fs::copy(base / "new" / step, crashed / step, fs::copy_options::overwrite_existing);
      fs::copy(crashed, base / "copy", fs::copy_options::recursive);
      const auto mended = Repository::open(base / "copy", {}, kNow_s);
      ASSERT_TRUE(mended) << role << " after " << step << ": " << mended.error().text();
      EXPECT_EQ(try_client(*mended), crypto::sha256("1")) << role << " after " << step;
      EXPECT_EQ(mended->root(), rotated.root());
      fs::remove_all(base / "copy");
    }
  }
}

TEST_F(TrustRepository, ACrashInAPublicationLeavesTheOldStateInForce) {
  auto repository = std::move(*open());
  ASSERT_TRUE(repository.publish({target_of("a", "1")}, kNow_s));
  const auto timestamp = *repository.metadata("timestamp.json");
  ASSERT_TRUE(repository.publish({target_of("a", "2")}, kNow_s));
  ASSERT_TRUE(write_file(folder_.path() / "metadata" / "timestamp.json", std::string_view(timestamp)));
  auto again = std::move(*open());
  EXPECT_EQ(try_client(again), crypto::sha256("1"));
  ASSERT_TRUE(again.publish({target_of("a", "3")}, kNow_s));
  EXPECT_EQ(try_client(again), crypto::sha256("3"));
}

TEST_F(TrustRepository, ACrashWhileItIsMadeIsMended) {
  ASSERT_TRUE(open());
  for (const std::string name : {"timestamp.json", "1.snapshot.json", "1.targets.json", "1.root.json"}) {
    fs::remove(folder_.path() / "metadata" / name);
    const auto copy = folder_.path() / "copy";
    fs::create_directory(copy);
    for (const std::string part : {"keys", "metadata"}) {
      fs::copy(folder_.path() / part, copy / part, fs::copy_options::recursive);
    }
    auto mended = Repository::open(copy, {}, kNow_s);
    ASSERT_TRUE(mended) << name;
    ASSERT_TRUE(mended->publish({target_of("a", "1")}, kNow_s));
    EXPECT_EQ(try_client(*mended), crypto::sha256("1")) << name;
    fs::remove_all(copy);
  }
}

TEST_F(TrustRepository, DamageIsNamed) {
  auto repository = std::move(*open());
  ASSERT_TRUE(repository.publish({target_of("a", "1")}, kNow_s));
  const auto damaged = [&](const fs::path& file, std::string_view content) {
    const auto path = folder_.path() / file;
    const std::string before = *read_text(path, 1U << 20U);
    EXPECT_TRUE(write_file(path, content));
    const auto opened = open();
    EXPECT_TRUE(write_file(path, std::string_view(before)));
    return opened ? "opened" : opened.error().id();
  };
  EXPECT_EQ(damaged("metadata/timestamp.json", "{"), "VRG-TUF-010");
  EXPECT_EQ(damaged("metadata/2.snapshot.json", ""), "VRG-TUF-010");
  EXPECT_EQ(damaged("metadata/1.root.json", "[]"), "VRG-TUF-010");
  EXPECT_EQ(damaged("keys/snapshot.pem", "no key"), "VRG-TUF-010");
  EXPECT_EQ(damaged("keys/snapshot.pem", crypto::PrivateKey::generate(crypto::KeyKind::ed25519).pem()), "VRG-TUF-010");
  std::string forged = *repository.metadata("2.targets.json");
  forged.replace(forged.find("\"a\""), 3, "\"b\"");
  EXPECT_EQ(damaged("metadata/2.targets.json", forged), "VRG-TUF-010") << "it is not signed again";
  fs::remove(folder_.path() / "keys" / "targets.pem");
  EXPECT_EQ(open().error().id(), "VRG-TUF-010") << "no new key in place of a lost one";
}

TEST_F(TrustRepository, ServesItsMetadataAndNothingElse) {
  auto repository = std::move(*open());
  EXPECT_TRUE(repository.metadata("timestamp.json"));
  EXPECT_EQ(*repository.metadata("1.root.json"), repository.root());
  for (const std::string_view name : {"2.root.json", "", "../keys/root.pem", "../metadata/1.root.json", "/etc/passwd",
                                      "root.pem", "timestamp.json/", "a/b.json"}) {
    const auto refused = repository.metadata(name);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().id(), "VRG-TUF-011") << name;
    EXPECT_EQ(refused.error().code(), ErrorCode::not_found) << name;
  }
}

TEST_F(TrustRepository, KeepsSomeOldVersionsOnly) {
  auto repository = std::move(*open());
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(repository.publish({target_of("a", std::to_string(i))}, kNow_s));
  EXPECT_EQ(files().size(), 2U + 2 * 16);
  EXPECT_FALSE(repository.metadata("25.targets.json"));
  EXPECT_TRUE(repository.metadata("26.targets.json"));
  EXPECT_EQ(try_client(*open()), crypto::sha256("39"));
}

}  // namespace
}  // namespace verge::trust
