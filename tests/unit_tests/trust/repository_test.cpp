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
  /// The repository's folder as it is now.
  fs::path copied() const {
    auto copy = folder_.path() / "copy";
    for (const char* part : {"keys", "metadata"}) {
      fs::create_directories(copy);
      fs::copy(folder_.path() / part, copy / part, fs::copy_options::recursive);
    }
    return copy;
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
    const auto copy = copied();
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

TEST_F(TrustRepository, ManyTargetsAreSharedOutIntoBins) {
  auto repository = std::move(*open());
  std::vector<Target> targets;
  for (int i = 0; i < 256; ++i) targets.push_back(target_of("t" + std::to_string(i), "1"));
  ASSERT_TRUE(repository.publish(targets, kNow_s));
  EXPECT_EQ(files().size(), 6U) << "they fit at the top";
  targets.push_back(target_of("a", "1"));
  ASSERT_TRUE(repository.publish(targets, kNow_s));
  EXPECT_EQ(repository.roles().size(), 4U + 16);
  EXPECT_EQ(try_client(repository), crypto::sha256("1"));
  const auto before = files();
  targets.back() = target_of("a", "2");
  ASSERT_TRUE(repository.publish(targets, kNow_s));
  EXPECT_EQ(try_client(repository), crypto::sha256("2"));
  EXPECT_EQ(files().size(), before.size() + 2) << "one bin and the snapshot are new";
  EXPECT_EQ(try_client(*open()), crypto::sha256("2"));
  EXPECT_EQ(open()->targets().size(), targets.size());
  ASSERT_TRUE(repository.rotate("targets", kNow_s));
  EXPECT_EQ(try_client(repository), crypto::sha256("2"));
  EXPECT_TRUE(*repository.renew(kNow_s + 200 * kDay_s));
  EXPECT_EQ(try_client(repository, kNow_s + 200 * kDay_s), crypto::sha256("2"));
  // Fewer targets leave the bins as they are: a new layout would sign everything again.
  ASSERT_TRUE(repository.publish({target_of("a", "3")}, kNow_s + 200 * kDay_s));
  EXPECT_EQ(repository.roles().size(), 4U + 16);
  EXPECT_EQ(try_client(repository, kNow_s + 200 * kDay_s), crypto::sha256("3"));
}

TEST_F(TrustRepository, AClientFollowsWhenBinsGrow) {
  auto repository = std::move(*open());
  std::vector<Target> targets{target_of("a", "1")};
  const auto fill = [&](std::size_t count) {
    while (targets.size() < count) targets.push_back(target_of("t" + std::to_string(targets.size()), "1"));
    return repository.publish(targets, kNow_s);
  };
  ASSERT_TRUE(fill(300));
  MemoryStore store;
  RepositorySource source(repository);
  auto client = std::move(*Client::open(store, repository.root()));
  ASSERT_TRUE(client.refresh(source, kNow_s));
  ASSERT_TRUE(client.target(source, "a", kNow_s));
  ASSERT_TRUE(fill(2049));
  EXPECT_EQ(repository.roles().size(), 4U + 256);
  const auto refreshed = client.refresh(source, kNow_s);
  ASSERT_TRUE(refreshed) << refreshed.error().text() << ": the old bins are still listed";
  EXPECT_TRUE(client.target(source, "a", kNow_s));
  EXPECT_TRUE(client.load_all(source, kNow_s));
}

TEST_F(TrustRepository, ARestoredCopyIsFollowedByClientsThatHaveSeenNewer) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{300}}) {
    SCOPED_TRACE(count);
    fs::remove_all(folder_.path());
    auto repository = std::move(*open());
    std::vector<Target> targets{target_of("a", "1")};
    while (targets.size() < count) targets.push_back(target_of("t" + std::to_string(targets.size()), "1"));
    ASSERT_TRUE(repository.publish(targets, kNow_s));
    const auto copy = copied();
    MemoryStore store;
    RepositorySource source(repository);
    auto client = std::move(*Client::open(store, repository.root()));
    for (const char* content : {"2", "3", "4"}) {
      targets.front() = target_of("a", content);
      ASSERT_TRUE(repository.publish(targets, kNow_s));
      ASSERT_TRUE(client.refresh(source, kNow_s));
      ASSERT_TRUE(client.target(source, "a", kNow_s));
    }
    auto restored = std::move(*Repository::open(copy, {}, kNow_s));
    RepositorySource after(restored);
    EXPECT_EQ(client.refresh(after, kNow_s).error().id(), "VRG-TUF-004") << "a copy is an attack, as it stands";
    const auto skipped = restored.skip_versions(kNow_s);
    ASSERT_TRUE(skipped) << skipped.error().text();
    ASSERT_TRUE(client.refresh(after, kNow_s));
    EXPECT_EQ(client.target(after, "a", kNow_s)->digest, crypto::sha256("1"));
    auto again = std::move(*Repository::open(copy, {}, kNow_s));
    ASSERT_TRUE(again.publish({target_of("a", "5")}, kNow_s));
    ASSERT_TRUE(client.refresh(after, kNow_s));
    EXPECT_EQ(client.target(after, "a", kNow_s)->digest, crypto::sha256("5"));
  }
}

/// Root 2 hands root and targets over to a key that the repository does not have.
class HandedOver : public TrustRepository {
 protected:
  HandedOver() {
    EXPECT_TRUE(repository_.publish({target_of("a", "1")}, kNow_s));
    root_ = *read_root(*open_signed(repository_.root(), kRoot, kRoot));
    root_.header = make_header(kRoot, 2, kNow_s + kDay_s);
    const auto id = key_id(key_.public_key());
    root_.keys.emplace(id, key_.public_key());
    for (const auto role : {kRoot, kTargets}) root_.roles.insert_or_assign(std::string(role), Role{{id}, 1});
    drop_unused();
  }
  void drop_unused() {
    std::erase_if(root_.keys, [&](const auto& key) {
      return std::ranges::none_of(root_.roles,
                                  [&](const auto& role) { return role.second.key_ids.front() == key.first; });
    });
  }
  std::string root_text() const { return signed_text(root_metadata(root_), {&key_}); }
  std::string targets_text(std::int64_t version, const Target& target) const {
    Targets targets{make_header(kTargets, version, kNow_s + kDay_s), {}, {}};
    targets.targets.emplace(target.path, target);
    return signed_text(*targets_metadata(targets), {&key_});
  }
  MetadataFiles handover() const {
    return {{"2.root.json", root_text()}, {"3.targets.json", targets_text(3, target_of("a", "2"))}};
  }
  const crypto::PrivateKey key_ = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  Repository repository_ = std::move(*open());
  Root root_;
};

TEST_F(HandedOver, IsInForceAsOne) {
  MemoryStore store;
  RepositorySource source(repository_);
  auto client = std::move(*Client::open(store, repository_.root()));
  ASSERT_TRUE(client.refresh(source, kNow_s));
  const auto done = repository_.accept(handover(), false, kNow_s);
  ASSERT_TRUE(done) << done.error().text();
  ASSERT_TRUE(client.refresh(source, kNow_s)) << "a device that trusts the old root follows";
  EXPECT_EQ(client.target(source, "a", kNow_s)->digest, crypto::sha256("2"));
  EXPECT_FALSE(fs::exists(folder_.path() / "keys" / "root.pem"));
  EXPECT_FALSE(fs::exists(folder_.path() / "keys" / "targets.pem"));
  EXPECT_EQ(repository_.rotate("root", kNow_s).error().id(), "VRG-TUF-013");
  EXPECT_EQ(try_client(*open()), crypto::sha256("2")) << "missing keys are no damage any more";
  EXPECT_FALSE(*repository_.renew(kNow_s)) << "nothing is old";
}

TEST_F(HandedOver, ARestoredCopySkipsVersionsOfWhatItSigns) {
  ASSERT_TRUE(repository_.accept(handover(), false, kNow_s));
  MemoryStore store;
  RepositorySource source(repository_);
  auto client = std::move(*Client::open(store, repository_.root()));
  ASSERT_TRUE(client.refresh(source, kNow_s));
  const auto copy = copied();
  for (int i = 1; i < 4; ++i) ASSERT_TRUE(*repository_.renew(kNow_s + i * 5 * kDay_s));
  ASSERT_TRUE(client.refresh(source, kNow_s + kDay_s / 2));
  auto restored = std::move(*Repository::open(copy, {}, kNow_s));
  RepositorySource after(restored);
  EXPECT_FALSE(client.refresh(after, kNow_s + kDay_s / 2));
  ASSERT_TRUE(restored.skip_versions(kNow_s));
  ASSERT_TRUE(client.refresh(after, kNow_s + kDay_s / 2));
  EXPECT_EQ(client.target(after, "a", kNow_s + kDay_s / 2)->digest, crypto::sha256("2"));
}

TEST_F(HandedOver, WhatIsNotSignedWaits) {
  ASSERT_TRUE(repository_.accept(handover(), false, kNow_s));
  ASSERT_TRUE(repository_.publish({target_of("a", "3"), target_of("b", "1")}, kNow_s));
  EXPECT_EQ(try_client(repository_), crypto::sha256("2"));
  const auto changes = repository_.changes();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].kind, TargetChange::Kind::changed);
  EXPECT_EQ(changes[1].kind, TargetChange::Kind::added);
  const auto view = repository_.signed_targets();
  EXPECT_TRUE(view.check("a", crypto::sha256("2")));
  EXPECT_EQ(view.check("a", crypto::sha256("3")).error().id(), "VRG-TUF-014");
  EXPECT_EQ(view.check("b", crypto::sha256("1")).error().id(), "VRG-TUF-014");
  ASSERT_TRUE(repository_.publish({}, kNow_s));
  ASSERT_EQ(repository_.changes().size(), 1U);
  EXPECT_EQ(repository_.changes()[0].kind, TargetChange::Kind::removed);
  ASSERT_TRUE(repository_.accept({{"4.targets.json", targets_text(4, target_of("a", "4"))}}, false, kNow_s));
  EXPECT_EQ(try_client(repository_), crypto::sha256("4"));
}

TEST_F(HandedOver, WhatAClientWouldRefuseChangesNothing) {
  const auto before = files();
  const auto refused = [&](const MetadataFiles& offered) {
    const auto done = repository_.accept(offered, false, kNow_s);
    EXPECT_EQ(files(), before);
    EXPECT_EQ(try_client(repository_), crypto::sha256("1"));
    EXPECT_EQ(try_client(*open()), crypto::sha256("1"));
    return done ? "accepted" : done.error().id();
  };
  EXPECT_EQ(refused({}), "VRG-TUF-012");
  EXPECT_EQ(refused({{"2.root.json", root_text()}}), "VRG-TUF-001") << "the old targets are by another key";
  EXPECT_EQ(refused({{"3.targets.json", targets_text(3, target_of("a", "2"))}}), "VRG-TUF-001");
  EXPECT_EQ(refused({{"2.root.json", root_text()}, {"2.targets.json", targets_text(2, target_of("a", "2"))}}),
            "VRG-TUF-012")
      << "that version is in force";
  EXPECT_EQ(refused({{"2.root.json", root_text()}, {"3.targets.json", targets_text(4, target_of("a", "2"))}}),
            "VRG-TUF-006");
  EXPECT_EQ(refused({{"timestamp.json", "{}"}}), "VRG-TUF-012");
  root_.header = make_header(kRoot, 2, kNow_s);
  EXPECT_EQ(refused(handover()), "VRG-TUF-005") << "it has expired";
  root_.header = make_header(kRoot, 2, kNow_s + kDay_s);
  root_.roles.insert_or_assign("timestamp", Role{{key_id(key_.public_key())}, 1});
  EXPECT_EQ(refused(handover()), "VRG-TUF-013");
}

/// The folder "publishing" is the decision: from its rename on a crash goes on with it.
TEST_F(HandedOver, ACrashOnceItIsDecidedGoesOn) {
  const auto before = folder_.path() / "before";
  fs::create_directory(before);
  for (const std::string part : {"keys", "metadata"}) {
    fs::copy(folder_.path() / part, before / part, fs::copy_options::recursive);
  }
  ASSERT_TRUE(repository_.accept(handover(), false, kNow_s));
  const auto metadata = folder_.path() / "metadata";
  const std::vector<std::string> order{"2.root.json", "3.targets.json", "3.snapshot.json", "timestamp.json"};
  for (std::size_t written = 0; written <= order.size(); ++written) {
    const auto crashed = folder_.path() / ("crashed" + std::to_string(written));
    fs::copy(before, crashed, fs::copy_options::recursive);
    for (const auto& name : order) {
      fs::create_directory(crashed / "publishing");
      fs::copy(metadata / name, crashed / "publishing" / name);
    }
    for (std::size_t i = 0; i < written; ++i) {
      fs::copy(metadata / order[i], crashed / "metadata" / order[i], fs::copy_options::overwrite_existing);
    }
    const auto mended = Repository::open(crashed, {}, kNow_s);
    ASSERT_TRUE(mended) << written << ": " << mended.error().text();
    EXPECT_EQ(try_client(*mended), crypto::sha256("2")) << written;
    EXPECT_FALSE(fs::exists(crashed / "keys" / "root.pem")) << written;
    EXPECT_FALSE(fs::exists(crashed / "publishing")) << written;
  }
}

}  // namespace
}  // namespace verge::trust
