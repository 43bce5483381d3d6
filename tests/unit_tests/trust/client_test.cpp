#include "verge/trust/client.hpp"

#include <gmock/gmock.h>

#include "memory_repository.hpp"
#include "metadata.hpp"
#include "repository_files.hpp"
#include "verge/crypto/sha512.hpp"

namespace verge::trust {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TrustClient : public testing::Test {
 protected:
  TrustClient() {
    publish({target_of("a", "content of a")});
    client_.emplace(*Client::open(store_, repository_.root()));
  }
  void publish(std::vector<Target> targets, std::int64_t now_s = kNow_s) {
    ASSERT_TRUE(repository_.publish(std::move(targets), now_s));
  }
  /// "ok", or the identifier of the error.
  std::string refresh(std::int64_t now_s = kNow_s) {
    const auto done = client_->refresh(source_, now_s);
    message_ = done ? "" : done.error().message();
    return done ? "ok" : done.error().id();
  }
  std::string target(std::string_view path, std::int64_t now_s = kNow_s) {
    const auto found = client_->target(source_, path, now_s);
    return found ? found->digest : found.error().id();
  }
  /// Whether everything stored is what it was; a refused refresh may have moved on some roles before.
  std::string stored(std::string_view role) const {
    const auto found = store_.files.find(role);
    return found == store_.files.end() ? "" : found->second;
  }
  /// The key of a role, as the thief who has it.
  crypto::PrivateKey key(std::string_view role) const { return *read_private_key(folder_.path(), role, false); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("trust"));
  Repository repository_ = std::move(*Repository::open(folder_.path(), {}, kNow_s));
  MemoryStore store_;
  RepositorySource source_{repository_};
  std::optional<Client> client_;
  std::string message_;
};

TEST_F(TrustClient, TrustsWhatTheRepositoryPublishes) {
  EXPECT_EQ(target("a"), "VRG-TUF-007") << "nothing before the first refresh";
  EXPECT_TRUE(client_->top_level_targets().empty());
  ASSERT_EQ(refresh(), "ok") << message_;
  EXPECT_EQ(target("a"), crypto::sha256("content of a"));
  EXPECT_EQ(target("b"), "VRG-TUF-007");
  ASSERT_EQ(client_->top_level_targets().size(), 1U);
  EXPECT_EQ(client_->root_version(), 1);
  EXPECT_TRUE(client_->consistent_snapshot());
  EXPECT_THAT(source_.asked, ElementsAre("2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"));
  EXPECT_EQ(stored("timestamp"), *repository_.metadata("timestamp.json"));
  EXPECT_EQ(stored("snapshot"), *repository_.metadata("2.snapshot.json"));
  EXPECT_EQ(stored("targets"), *repository_.metadata("2.targets.json"));
  EXPECT_EQ(stored("root"), repository_.root());
}

TEST_F(TrustClient, FetchesOnlyWhatIsNew) {
  ASSERT_EQ(refresh(), "ok");
  source_.asked.clear();
  ASSERT_EQ(refresh(), "ok");
  EXPECT_THAT(source_.asked, ElementsAre("2.root.json", "timestamp.json"));
  auto again = Client::open(store_, "");
  ASSERT_TRUE(again) << "the stored root is enough";
  ASSERT_TRUE(again->refresh(source_, kNow_s));
  EXPECT_EQ(again->target(source_, "a", kNow_s)->digest, crypto::sha256("content of a"));
}

TEST_F(TrustClient, FollowsRotationsOfEveryKey) {
  ASSERT_EQ(refresh(), "ok");
  for (const std::string_view role : {"root", "timestamp", "snapshot", "targets", "root"}) {
    ASSERT_TRUE(repository_.rotate(role, kNow_s));
    EXPECT_EQ(refresh(), "ok") << role << ": " << message_;
  }
  EXPECT_EQ(client_->root_version(), 6);
  EXPECT_EQ(target("a"), crypto::sha256("content of a"));
}

TEST_F(TrustClient, ARootThatTheOldOneDidNotSignIsRefused) {
  RoleKeys keys;
  for (const std::string_view role : {"root", "timestamp", "snapshot", "targets"}) {
    keys.insert_or_assign(std::string(role), crypto::PrivateKey::generate(crypto::KeyKind::ed25519));
  }
  const auto& stranger = keys.find("root")->second;
  source_.instead["2.root.json"] = signed_text(root_metadata(root_of(keys, 2, kNow_s + kDay_s)), {&stranger});
  EXPECT_EQ(refresh(), "VRG-TUF-001");
  EXPECT_THAT(message_, HasSubstr("role 'root' version 2 to be signed by at least 1 of its 1 keys, got 0"));
  const auto old = key("root");
  source_.instead["2.root.json"] = signed_text(root_metadata(root_of(keys, 2, kNow_s + kDay_s)), {&old});
  EXPECT_EQ(refresh(), "VRG-TUF-001") << "nor one that did not sign itself";
  source_.instead["2.root.json"] = signed_text(root_metadata(root_of(keys, 3, kNow_s + kDay_s)), {&old, &stranger});
  EXPECT_EQ(refresh(), "VRG-TUF-006") << "nor one of another version than its name";
  source_.instead["2.root.json"] = signed_text(root_metadata(root_of(keys, 1, kNow_s + kDay_s)), {&old, &stranger});
  EXPECT_EQ(refresh(), "VRG-TUF-004");
  EXPECT_EQ(client_->root_version(), 1);
  EXPECT_EQ(stored("root"), repository_.root());
}

TEST_F(TrustClient, OldMetadataIsARollback) {
  ASSERT_EQ(refresh(), "ok");
  const std::string old = stored("timestamp");
  publish({target_of("b", "b")});
  ASSERT_EQ(refresh(), "ok");
  source_.instead["timestamp.json"] = old;
  EXPECT_EQ(refresh(), "VRG-TUF-004");
  EXPECT_THAT(message_, HasSubstr("'timestamp' at version 3 or later"));
  EXPECT_EQ(target("b"), crypto::sha256("b")) << "what was trusted stays trusted";
}

TEST_F(TrustClient, ATimestampThatGoesBackInSnapshotsIsARollback) {
  ASSERT_EQ(refresh(), "ok");
  const std::string old = *repository_.metadata("1.snapshot.json");
  const auto thief = key("timestamp");
  source_.instead["timestamp.json"] =
      signed_text(meta_metadata("timestamp", 9, kNow_s + kDay_s, "snapshot.json", 1, old), {&thief});
  EXPECT_EQ(refresh(), "VRG-TUF-004");
  EXPECT_EQ(stored("timestamp"), *repository_.metadata("timestamp.json"));
}

TEST_F(TrustClient, ASnapshotThatGoesBackOrForgetsIsRefused) {
  ASSERT_EQ(refresh(), "ok");
  const auto timestamp_thief = key("timestamp");
  const auto snapshot_thief = key("snapshot");
  int version = 8;
  const auto offer = [&](const std::string& snapshot) {
    source_.instead["9.snapshot.json"] = snapshot;
    auto content = meta_metadata("timestamp", ++version, kNow_s + kDay_s, "snapshot.json", 9, snapshot);
    source_.instead["timestamp.json"] = signed_text(std::move(content), {&timestamp_thief});
  };
  const std::string old = *repository_.metadata("1.targets.json");
  offer(signed_text(meta_metadata("snapshot", 9, kNow_s + kDay_s, "targets.json", 1, old), {&snapshot_thief}));
  EXPECT_EQ(refresh(), "VRG-TUF-004");
  offer(signed_text(meta_metadata("snapshot", 9, kNow_s + kDay_s, "other.json", 1, old), {&snapshot_thief}));
  EXPECT_EQ(refresh(), "VRG-TUF-006");
  EXPECT_EQ(stored("snapshot"), *repository_.metadata("2.snapshot.json"));
}

TEST_F(TrustClient, NewKeysAreTheWayBackFromATooHighVersion) {
  const auto timestamp_thief = key("timestamp");
  const auto snapshot_thief = key("snapshot");
  const std::string targets = *repository_.metadata("2.targets.json");
  const auto snapshot =
      signed_text(meta_metadata("snapshot", 900, kNow_s + kDay_s, "targets.json", 2, targets), {&snapshot_thief});
  source_.instead["900.snapshot.json"] = snapshot;
  source_.instead["timestamp.json"] =
      signed_text(meta_metadata("timestamp", 900, kNow_s + kDay_s, "snapshot.json", 900, snapshot), {&timestamp_thief});
  ASSERT_EQ(refresh(), "ok");
  source_.instead.clear();
  EXPECT_EQ(refresh(), "VRG-TUF-004") << "honest metadata looks old now";
  ASSERT_TRUE(repository_.rotate("timestamp", kNow_s));
  ASSERT_TRUE(repository_.rotate("snapshot", kNow_s));
  EXPECT_EQ(refresh(), "ok") << message_;
}

TEST_F(TrustClient, WhatHasExpiredIsRefusedRoleByRole) {
  const Lifetimes lifetimes;
  EXPECT_EQ(refresh(kNow_s + lifetimes.timestamp_days * kDay_s - 1), "ok");
  for (const auto& [role, days] :
       std::initializer_list<std::pair<std::string, int>>{{"timestamp", lifetimes.timestamp_days},
                                                          {"snapshot", lifetimes.snapshot_days},
                                                          {"targets", lifetimes.targets_days},
                                                          {"root", lifetimes.root_days}}) {
    const auto now_s = kNow_s + days * kDay_s;
    const auto soon_s = now_s + kDay_s;
    const auto timestamp = key("timestamp");
    const auto snapshot = key("snapshot");
    // Those below are signed anew, so that only `role` is too old.
    if (role == "targets") {
      const auto text =
          signed_text(meta_metadata("snapshot", 9, soon_s, "targets.json", 2, *repository_.metadata("2.targets.json")),
                      {&snapshot});
      source_.instead["9.snapshot.json"] = text;
      source_.instead["timestamp.json"] =
          signed_text(meta_metadata("timestamp", 9, soon_s, "snapshot.json", 9, text), {&timestamp});
    } else if (role == "snapshot") {
      const std::string text = *repository_.metadata("2.snapshot.json");
      source_.instead["timestamp.json"] =
          signed_text(meta_metadata("timestamp", 8, soon_s, "snapshot.json", 2, text), {&timestamp});
    }
    EXPECT_EQ(refresh(now_s), "VRG-TUF-005") << role;
    EXPECT_THAT(message_, HasSubstr("role '" + role + "'"));
    EXPECT_THAT(message_, HasSubstr("expired at " + time_text(now_s)));
  }
  EXPECT_EQ(target("a", kNow_s + lifetimes.targets_days * kDay_s), "VRG-TUF-005") << "nor is a target of it given";
}

TEST(TrustClientToRenew, TakesWhatPeopleSignThoughItHasExpiredAndGivesNoTargetByIt) {
  const auto folder = std::move(*TemporaryFolder::create("renew"));
  const Lifetimes lifetimes{10, 10, 20, 30};
  auto repository = std::move(*Repository::open(folder.path(), lifetimes, kNow_s));
  ASSERT_TRUE(repository.publish({target_of("a", "content of a")}, kNow_s));
  RepositorySource source(repository);
  const auto at = [](int days) { return kNow_s + days * kDay_s; };
  MemoryStore of_device;
  MemoryStore of_people;
  auto device = *Client::open(of_device, repository.root());
  auto people = *Client::open_to_renew(of_people, repository.root());
  EXPECT_EQ(device.refresh(source, at(10)).error().id(), "VRG-TUF-005");
  EXPECT_FALSE(of_device.files.contains("targets"));
  const auto done = people.refresh(source, at(19));
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_TRUE(people.load_all(source, at(19)));
  EXPECT_EQ(of_people.files.find("targets")->second, *repository.metadata("2.targets.json"));
  EXPECT_EQ(people.target(source, "a", at(19)).error().id(), "VRG-TUF-005");
  EXPECT_THAT(people.refresh(source, at(20)).error().text(), HasSubstr("role 'snapshot' version 2 expired"));
  EXPECT_THAT(people.refresh(source, at(30)).error().text(), HasSubstr("role 'timestamp' version 2 expired"));
}

TEST_F(TrustClient, PartsThatDoNotBelongTogetherAreRefused) {
  source_.instead["2.targets.json"] = *repository_.metadata("1.targets.json");
  EXPECT_EQ(refresh(), "VRG-TUF-003") << "the snapshot says what is in it";
  source_.instead.clear();
  source_.instead["2.snapshot.json"] = *repository_.metadata("1.snapshot.json");
  store_.files.erase("snapshot");
  EXPECT_EQ(refresh(), "VRG-TUF-003");
  EXPECT_EQ(target("a"), "VRG-TUF-007");
}

TEST_F(TrustClient, ForeignSignaturesAreRefusedRoleByRole) {
  const auto stranger = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
  const auto offered = [&](std::string_view file) {
    auto node = *wire::parse_json(*repository_.metadata(file), "test");
    return signed_text(*node.find("signed"), {&stranger});
  };
  source_.instead["timestamp.json"] = offered("timestamp.json");
  EXPECT_EQ(refresh(), "VRG-TUF-001");
  EXPECT_EQ(stored("timestamp"), "");
  const auto timestamp = key("timestamp");
  const auto snapshot = offered("2.snapshot.json");
  source_.instead["2.snapshot.json"] = snapshot;
  source_.instead["timestamp.json"] =
      signed_text(meta_metadata("timestamp", 9, kNow_s + kDay_s, "snapshot.json", 2, snapshot), {&timestamp});
  EXPECT_EQ(refresh(), "VRG-TUF-001");
  EXPECT_EQ(stored("snapshot"), "");
}

TEST_F(TrustClient, EndlessFilesAreRefused) {
  source_.instead["timestamp.json"] = std::string(kTimestampLimitBytes + 1, ' ');
  EXPECT_EQ(refresh(), "VRG-TUF-008");
  source_.instead.clear();
  source_.instead["2.root.json"] = std::string(kRootLimitBytes + 1, ' ');
  EXPECT_EQ(refresh(), "VRG-TUF-008");
  source_.instead.clear();
  source_.instead["2.snapshot.json"] = *repository_.metadata("2.snapshot.json") + " ";
  EXPECT_EQ(refresh(), "VRG-TUF-008") << "longer than the timestamp says";
}

TEST_F(TrustClient, WhatIsNoMetadataIsRefused) {
  for (const std::string text : {"", "{", "[]", "{}", R"({"signed": {}, "signatures": []})", "\xFF"}) {
    source_.instead["timestamp.json"] = text;
    EXPECT_EQ(refresh(), "VRG-TUF-002") << text;
    MemoryStore empty;
    EXPECT_EQ(Client::open(empty, text).error().id(), "VRG-TUF-002") << text;
    EXPECT_TRUE(empty.files.empty());
  }
  source_.instead["timestamp.json"] = *repository_.metadata("2.snapshot.json");
  EXPECT_EQ(refresh(), "VRG-TUF-002") << "another role's";
}

TEST_F(TrustClient, FieldsOfOneThingOnlyAreChecked) {
  const auto timestamp = key("timestamp");
  const auto offer = [&](std::string_view field, wire::Node value) {
    auto node =
        meta_metadata("timestamp", 9, kNow_s + kDay_s, "snapshot.json", 2, *repository_.metadata("2.snapshot.json"));
    const auto found = std::ranges::find(node.members, field, &std::pair<std::string, wire::Node>::first);
    if (found != node.members.end()) {
      found->second = std::move(value);
    } else {
      node.add(field, std::move(value));
    }
    source_.instead["timestamp.json"] = signed_text(std::move(node), {&timestamp});
    return refresh();
  };
  EXPECT_EQ(offer("version", wire::Node::integer(0)), "VRG-TUF-002");
  EXPECT_EQ(offer("version", wire::Node::string("9")), "VRG-TUF-002");
  EXPECT_EQ(offer("expires", wire::Node::string("2027-02-30T00:00:00Z")), "VRG-TUF-002");
  EXPECT_EQ(offer("expires", wire::Node::string("tomorrow")), "VRG-TUF-002");
  EXPECT_EQ(offer("spec_version", wire::Node::string("2.0.0")), "VRG-TUF-002");
  EXPECT_EQ(offer("meta", wire::Node::map()), "VRG-TUF-002");
  EXPECT_EQ(offer("unknown", wire::Node::string("is signed, and kept")), "ok") << message_;
  EXPECT_THAT(stored("timestamp"), HasSubstr("is signed, and kept"));
}

TEST_F(TrustClient, DamageInTheStoreIsMended) {
  ASSERT_EQ(refresh(), "ok");
  for (const std::string role : {"timestamp", "snapshot", "targets"}) store_.files[role].resize(100);
  ASSERT_EQ(refresh(), "ok") << message_;
  EXPECT_EQ(stored("targets"), *repository_.metadata("2.targets.json"));
}

TEST_F(TrustClient, AStoreThatDoesNotAnswerIsNoEmptyOne) {
  ASSERT_EQ(refresh(), "ok");
  store_.broken = true;
  EXPECT_EQ(refresh(), "VRG-BAS-001");
  EXPECT_EQ(Client::open(store_, repository_.root()).error().id(), "VRG-BAS-001");
  EXPECT_EQ(target("a"), crypto::sha256("content of a"));
}

TEST_F(TrustClient, TooManyRotationsAtOnceTakeTwoRefreshes) {
  RoleKeys keys;
  for (const std::string_view role : {"root", "timestamp", "snapshot", "targets"}) {
    keys.insert_or_assign(std::string(role), key(role));
  }
  for (int version = 2; version <= kRootRotationLimit + 2; ++version) {
    source_.instead[std::to_string(version) + ".root.json"] =
        signed_text(root_metadata(root_of(keys, version, kNow_s + kDay_s)), {&keys.find("root")->second});
  }
  EXPECT_EQ(refresh(), "VRG-TUF-008");
  EXPECT_EQ(refresh(), "ok") << message_;
  EXPECT_EQ(client_->root_version(), kRootRotationLimit + 2);
}

TEST(FileMeta, EveryDigestThatIsDeclaredAndUnderstoodMustFit) {
  constexpr std::string_view kHex256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const std::string hex512 = crypto::sha512("abc").substr(7);
  const auto check = [](std::map<std::string, std::string, std::less<>> hashes) {
    const auto done = check_content({1, 3, std::move(hashes)}, "abc", "file");
    return done ? "ok" : done.error().id();
  };
  EXPECT_EQ(check({}), "ok");
  EXPECT_EQ(check({{"sha256", std::string(kHex256)}, {"sha512", hex512}}), "ok");
  EXPECT_EQ(check({{"sha256", std::string(64, '0')}, {"sha512", hex512}}), "VRG-TUF-003");
  EXPECT_EQ(check({{"sha256", std::string(kHex256)}, {"sha512", std::string(128, '0')}}), "VRG-TUF-003");
  EXPECT_EQ(check({{"sha256", std::string(kHex256)}, {"other", "00"}}), "ok");
  EXPECT_EQ(check({{"other", "00"}}), "VRG-TUF-003");
}

TEST_F(TrustClient, ChecksTheContentOfATarget) {
  ASSERT_EQ(refresh(), "ok");
  const auto found = *client_->target(source_, "a", kNow_s);
  EXPECT_TRUE(check_target(found, "content of a"));
  EXPECT_EQ(check_target(found, "content of b").error().id(), "VRG-TUF-003");
  EXPECT_EQ(check_target(found, "content of a ").error().id(), "VRG-TUF-003");
  EXPECT_EQ(check_target({"x", 0, "md5:d41d8cd98f00b204e9800998ecf8427e", {}}, "").error().id(), "VRG-TUF-003");
  EXPECT_EQ(check_target({"x", 0, "", {}}, "").error().id(), "VRG-TUF-003");
}

}  // namespace
}  // namespace verge::trust
