// The ceremony: people sign what a hub wants, with keys that it has not; what they publish, the hub takes.
#include "verge/trust/ceremony.hpp"

#include <gmock/gmock.h>

#include "memory_repository.hpp"

namespace verge::trust {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::int64_t kDay_s = 86'400;

/// A person with a key.
struct Person {
  std::string name;
  crypto::PrivateKey key = crypto::PrivateKey::generate(crypto::KeyKind::ed25519);
  [[nodiscard]] NamedKey named() const { return {name, key.public_key()}; }
};

class CeremonyTest : public testing::Test {
 protected:
  /// What a hub tells of its repository.
  wire::TrustStatus status() const {
    wire::TrustStatus status;
    for (const auto& role : repository_.roles()) {
      wire::TrustRole one;
      one.name = role.name;
      one.version = role.version;
      one.threshold = role.threshold;
      for (const auto& key : role.keys) {
        wire::TrustKey made;
        made.id = key.id;
        made.kind = key.kind;
        made.held = key.held;
        made.public_key = key.public_key;
        one.keys.push_back(std::move(made));
      }
      status.roles.push_back(std::move(one));
    }
    return status;
  }
  wire::TrustChanges changes() const {
    wire::TrustChanges changes;
    for (const auto& change : repository_.changes()) {
      wire::TrustChange one;
      one.kind =
          change.kind == TargetChange::Kind::removed ? wire::TrustChangeKind::removed : wire::TrustChangeKind::added;
      one.role = change.role;
      one.path = change.target.path;
      one.length_bytes = static_cast<std::int64_t>(change.target.length_bytes);
      one.digest = change.target.digest;
      changes.changes.push_back(std::move(one));
    }
    return changes;
  }
  Result<void> fetch(std::int64_t now_s = kNow_s, MetadataFiles instead = {}) {
    RepositorySource source(repository_);
    source.instead = std::move(instead);
    return ceremony_.fetch(source, status(), changes(), false, now_s);
  }
  Result<void> publish(std::int64_t now_s = kNow_s) {
    VERGE_ASSIGN(const auto ready, ceremony_.publication());
    return repository_.accept(ready.files, false, now_s);
  }
  /// Root by two of alice, bob and carol, targets by dave; signed and in force.
  void take_offline() {
    ASSERT_TRUE(fetch());
    ASSERT_TRUE(ceremony_.set_signers("root", {{alice_.named(), bob_.named(), carol_.named()}, 2}, kNow_s));
    ASSERT_TRUE(ceremony_.set_signers("targets", {{dave_.named()}, 1}, kNow_s));
    for (const auto* person : {&alice_, &bob_, &dave_}) ASSERT_TRUE(ceremony_.sign(person->key));
    const auto published = publish();
    ASSERT_TRUE(published) << published.error().text();
    ASSERT_TRUE(fetch());
  }
  /// The team's role in force.
  void delegate_cats() {
    ASSERT_TRUE(ceremony_.delegate("team", {"models/cat/*"}, {{team_.named()}, 1}, kNow_s));
    for (const auto* person : {&dave_, &team_}) ASSERT_TRUE(ceremony_.sign(person->key));
    ASSERT_TRUE(publish());
  }
  /// Much later: the hub has renewed what it signs by itself.
  void later(std::int64_t now_s) {
    ASSERT_TRUE(repository_.renew(now_s));
    const auto fetched = fetch(now_s);
    ASSERT_TRUE(fetched) << fetched.error().text();
  }
  /// What a device says of what is in force: "ok", or why it refuses it.
  std::string device(std::int64_t now_s) {
    RepositorySource source(repository_);
    auto client = Client::open(device_, *repository_.metadata("1.root.json"));
    auto done = client ? client->refresh(source, now_s) : Result<void>(client.error());
    if (done) done = client->load_all(source, now_s);
    return done ? "ok" : done.error().text();
  }
  std::string target_on_device(std::string_view path, std::int64_t now_s) {
    RepositorySource source(repository_);
    auto client = Client::open(device_, *repository_.metadata("1.root.json"));
    auto done = client ? client->refresh(source, now_s) : Result<void>(client.error());
    if (!done) return done.error().text();
    const auto found = client->target(source, path, now_s);
    return found ? "ok" : found.error().text();
  }
  std::vector<std::string> drafts() const {
    std::vector<std::string> files;
    for (const auto& draft : ceremony_.drafts().value_or(std::vector<Draft>{})) files.push_back(draft.file);
    return files;
  }
  std::string refusal(const Result<void>& done) const { return done ? "" : done.error().text(); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("ceremony"));
  Repository repository_ = std::move(*Repository::open(folder_.path() / "hub", {}, kNow_s));
  Ceremony ceremony_{folder_.path() / "papers"};
  MemoryStore device_;
  Person alice_{"alice"}, bob_{"bob"}, carol_{"carol"}, dave_{"dave"}, team_{"team"};
};

TEST_F(CeremonyTest, NothingCanBeDoneBeforeTheHubsMetadataAreThere) {
  EXPECT_THAT(ceremony_.drafts().error().text(), HasSubstr("verge trust fetch FOLDER [VRG-TUF-016]"));
  EXPECT_THAT(ceremony_.sign(alice_.key).error().text(), HasSubstr("VRG-TUF-016"));
  ASSERT_TRUE(fetch());
  EXPECT_THAT(drafts(), IsEmpty());
  EXPECT_THAT(ceremony_.publication().error().text(), HasSubstr("nothing is staged"));
}

TEST_F(CeremonyTest, AHandoverWaitsForEverySignatureThatItNeeds) {
  ASSERT_TRUE(fetch());
  ASSERT_TRUE(ceremony_.set_signers("root", {{alice_.named(), bob_.named(), carol_.named()}, 2}, kNow_s));
  ASSERT_TRUE(ceremony_.set_signers("targets", {{dave_.named()}, 1}, kNow_s));
  EXPECT_THAT(drafts(), ElementsAre("2.root.json", "2.targets.json"));
  EXPECT_THAT(ceremony_.publication().error().text(), HasSubstr("2.root.json of root 2 (2 more of alice, bob, carol)"));
  ASSERT_TRUE(ceremony_.sign(alice_.key));
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  EXPECT_THAT(ceremony_.publication().error().text(), HasSubstr("(1 more of bob, carol)"))
      << "root and targets go as one";
  EXPECT_THAT(*ceremony_.drafts_for(alice_.key.public_key()), IsEmpty());
  EXPECT_EQ(ceremony_.drafts_for(carol_.key.public_key())->size(), 1U);
  ASSERT_TRUE(ceremony_.sign(carol_.key));
  const auto draft = ceremony_.drafts()->front();
  ASSERT_EQ(draft.needs.size(), 2U);
  EXPECT_TRUE(draft.needs[0].by_hub) << "the root key is the hub's still";
  EXPECT_THAT(draft.needs[1].signed_by, UnorderedElementsAre("alice", "carol"));
  ASSERT_TRUE(publish());
  for (const auto& role : repository_.roles()) {
    const bool held = role.name == "snapshot" || role.name == "timestamp";
    for (const auto& key : role.keys) EXPECT_EQ(key.held, held) << role.name;
  }
}

TEST_F(CeremonyTest, AStrangersSignatureCountsForNothing) {
  ASSERT_TRUE(fetch());
  ASSERT_TRUE(ceremony_.set_signers("root", {{alice_.named(), bob_.named()}, 2}, kNow_s));
  ASSERT_TRUE(ceremony_.sign(alice_.key));
  const Person mallory{"mallory"};
  ASSERT_TRUE(ceremony_.sign(mallory.key));
  ASSERT_TRUE(ceremony_.sign(alice_.key)) << "twice is once";
  EXPECT_THAT(ceremony_.publication().error().text(), HasSubstr("(1 more of bob)"));
}

TEST_F(CeremonyTest, TargetsThatTheHubWantsAreStagedAndSigned) {
  take_offline();
  ASSERT_TRUE(repository_.publish({target_of("models/cat/1.0.0.json", "1")}, kNow_s));
  ASSERT_EQ(repository_.changes().size(), 1U);
  ASSERT_TRUE(fetch());
  ASSERT_THAT(drafts(), ElementsAre("3.targets.json"));
  EXPECT_THAT(ceremony_.drafts()->front().differences, testing::Contains(HasSubstr("+ models/cat/1.0.0.json")));
  ASSERT_TRUE(ceremony_.sign(alice_.key)) << "a root key is no targets key";
  EXPECT_THAT(ceremony_.publication().error().text(), HasSubstr("1 more of dave"));
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  ASSERT_TRUE(publish());
  EXPECT_NE(repository_.find("models/cat/1.0.0.json"), nullptr);
  EXPECT_THAT(repository_.changes(), IsEmpty());
}

TEST_F(CeremonyTest, ADraftKeepsItsSignaturesWhileItsContentStaysTheSame) {
  take_offline();
  ASSERT_TRUE(repository_.publish({target_of("a", "1")}, kNow_s));
  ASSERT_TRUE(fetch());
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  ASSERT_TRUE(fetch(kNow_s + kDay_s));
  EXPECT_TRUE(ceremony_.drafts()->front().complete());
  ASSERT_TRUE(repository_.publish({target_of("a", "2")}, kNow_s));
  ASSERT_TRUE(fetch(kNow_s + kDay_s));
  EXPECT_FALSE(ceremony_.drafts()->front().complete()) << "what was signed is not what is wanted now";
}

TEST_F(CeremonyTest, WhatHasLessThanHalfOfItsLifeLeftIsStagedAgain) {
  take_offline();
  EXPECT_THAT(drafts(), IsEmpty());
  const auto later = kNow_s + 100 * kDay_s;
  ASSERT_TRUE(repository_.renew(later));
  EXPECT_EQ(refusal(fetch(later)), "");
  EXPECT_THAT(drafts(), ElementsAre("3.targets.json")) << "the root is good for longer";
}

TEST_F(CeremonyTest, TargetsThatHaveExpiredAreRenewedAsTheyAre) {
  take_offline();
  ASSERT_TRUE(repository_.publish({target_of("a", "1")}, kNow_s));
  ASSERT_TRUE(fetch());
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  ASSERT_TRUE(publish());
  ASSERT_EQ(device(kNow_s), "ok");
  const auto now_s = kNow_s + 180 * kDay_s;
  later(now_s);
  EXPECT_THAT(device(now_s), HasSubstr("role 'targets' version 3 expired"));
  ASSERT_THAT(drafts(), ElementsAre("4.targets.json"));
  const auto draft = ceremony_.drafts()->front();
  EXPECT_EQ(draft.before_expires_s, now_s);
  EXPECT_EQ(draft.expires_s, now_s + 180 * kDay_s);
  EXPECT_THAT(draft.differences, ElementsAre(HasSubstr("~ good until ")));
  EXPECT_THAT(ceremony_.publication().error().text(), HasSubstr("1 more of dave"));
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  EXPECT_EQ(refusal(publish(now_s)), "");
  EXPECT_EQ(device(now_s), "ok");
  EXPECT_NE(repository_.find("a"), nullptr);
  EXPECT_EQ(refusal(fetch(now_s)), "");
  EXPECT_THAT(drafts(), IsEmpty());
}

TEST_F(CeremonyTest, RootAndTargetsThatHaveExpiredAreRenewedTogether) {
  take_offline();
  ASSERT_EQ(device(kNow_s), "ok");
  const auto now_s = kNow_s + 400 * kDay_s;
  later(now_s);
  EXPECT_THAT(device(now_s), HasSubstr("role 'root' version 2 expired"));
  EXPECT_THAT(drafts(), ElementsAre("3.root.json", "3.targets.json"));
  ASSERT_TRUE(ceremony_.sign(alice_.key));
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  EXPECT_THAT(refusal(publish(now_s)), HasSubstr("role 'root' version 2 expired")) << "the hub takes no half of it";
  ASSERT_TRUE(ceremony_.sign(carol_.key));
  EXPECT_EQ(refusal(publish(now_s)), "");
  EXPECT_EQ(device(now_s), "ok");
}

TEST_F(CeremonyTest, ARootThatOnlyGetsNewDatesHoldsUpNobody) {
  take_offline();
  const auto now_s = kNow_s + 190 * kDay_s;
  later(now_s);
  ASSERT_THAT(drafts(), ElementsAre("3.root.json", "3.targets.json"));
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  EXPECT_THAT(ceremony_.publication()->left_out, ElementsAre("3.root.json"));
  EXPECT_EQ(refusal(publish(now_s)), "");
  EXPECT_EQ(device(now_s), "ok");
  ASSERT_TRUE(fetch(now_s));
  ASSERT_THAT(drafts(), ElementsAre("3.root.json"));
  ASSERT_TRUE(ceremony_.sign(alice_.key));
  ASSERT_TRUE(ceremony_.sign(bob_.key));
  EXPECT_EQ(refusal(publish(now_s)), "");
  EXPECT_EQ(device(now_s), "ok");
}

TEST_F(CeremonyTest, ATeamThatIsLateHoldsUpNobodyElse) {
  take_offline();
  delegate_cats();
  ASSERT_TRUE(
      repository_.publish({target_of("models/cat/1.0.0.json", "1"), target_of("models/dog/1.0.0.json", "2")}, kNow_s));
  ASSERT_TRUE(fetch());
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  ASSERT_TRUE(ceremony_.sign(team_.key));
  ASSERT_TRUE(publish());
  auto now_s = kNow_s + 180 * kDay_s;
  later(now_s);
  ASSERT_THAT(drafts(), ElementsAre("5.targets.json", "3.team.json"));
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  EXPECT_EQ(refusal(publish(now_s)), "");
  EXPECT_EQ(target_on_device("models/dog/1.0.0.json", now_s), "ok");
  EXPECT_THAT(target_on_device("models/cat/1.0.0.json", now_s), HasSubstr("role 'team' version 2 expired"));
  later(now_s);
  ASSERT_THAT(drafts(), ElementsAre("3.team.json"));
  ASSERT_TRUE(ceremony_.sign(team_.key));
  const auto late = now_s + 180 * kDay_s;
  EXPECT_THAT(refusal(publish(late)), HasSubstr("expired")) << "what is published must be good";
  EXPECT_EQ(refusal(publish(now_s)), "");
  EXPECT_EQ(device(now_s), "ok");
  EXPECT_EQ(target_on_device("models/cat/1.0.0.json", now_s), "ok");
}

TEST_F(CeremonyTest, ATeamThatDoesNotComeIsLetGo) {
  take_offline();
  delegate_cats();
  const auto now_s = kNow_s + 180 * kDay_s;
  later(now_s);
  ASSERT_THAT(drafts(), ElementsAre("4.targets.json", "2.team.json"));
  ASSERT_TRUE(ceremony_.end_delegation("team", now_s));
  EXPECT_THAT(drafts(), ElementsAre("4.targets.json"));
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  EXPECT_EQ(refusal(publish(now_s)), "");
  EXPECT_EQ(device(now_s), "ok");
}

TEST_F(CeremonyTest, ANewHubTakesAChainThatHasExpired) {
  take_offline();
  delegate_cats();
  ASSERT_TRUE(fetch());
  ASSERT_EQ(device(kNow_s), "ok");
  const auto now_s = kNow_s + 400 * kDay_s;
  const auto first = *repository_.metadata("1.root.json");
  repository_ = std::move(*Repository::open(folder_.path() / "new hub", {}, now_s));
  RepositorySource source(repository_);
  const auto fetched = ceremony_.fetch(source, status(), {}, true, now_s);
  ASSERT_TRUE(fetched) << fetched.error().text();
  EXPECT_THAT(drafts(), ElementsAre("3.root.json", "4.targets.json", "2.team.json"));
  const auto adopt = [&]() -> Result<void> {
    VERGE_ASSIGN(const auto ready, ceremony_.publication());
    return repository_.accept(ready.files, true, now_s);
  };
  for (const auto* person : {&alice_, &dave_}) ASSERT_TRUE(ceremony_.sign(person->key));
  EXPECT_FALSE(adopt()) << "one root key is not enough";
  ASSERT_TRUE(ceremony_.sign(bob_.key));
  const auto adopted = adopt();
  ASSERT_TRUE(adopted) << adopted.error().text();
  EXPECT_EQ(*repository_.metadata("1.root.json"), first);
  EXPECT_EQ(target_on_device("models/dog/1.0.0.json", now_s).substr(0, 17), "expected a target") << "it is trusted";
  EXPECT_THAT(target_on_device("models/cat/1.0.0.json", now_s), HasSubstr("role 'team' version 1 expired"));
}

TEST_F(CeremonyTest, OfWhatHasExpiredOnlyTheDateIsForgiven) {
  take_offline();
  const auto old_timestamp = *repository_.metadata("timestamp.json");
  const auto now_s = kNow_s + 400 * kDay_s;
  EXPECT_THAT(refusal(fetch(now_s)), HasSubstr("role 'timestamp' version 2 expired")) << "that is the hub's own";
  ASSERT_TRUE(repository_.renew(now_s));
  EXPECT_EQ(refusal(fetch(now_s)), "");
  EXPECT_THAT(refusal(fetch(now_s, {{"timestamp.json", old_timestamp}})), HasSubstr("VRG-TUF-004"));
  EXPECT_THAT(refusal(fetch(now_s, {{"3.root.json", *repository_.metadata("1.root.json")}})), HasSubstr("VRG-TUF-001"));
  // What a captured hub could make of it: expired targets by a key of its own, in a snapshot and timestamp that fit.
  const Person mallory{"mallory"};
  const auto forged = signed_text(*targets_metadata({make_header(kTargets, 3, kNow_s), {}, {}}), {&mallory.key});
  const auto snapshot_key = *read_private_key(folder_.path() / "hub", kSnapshot, false);
  const auto timestamp_key = *read_private_key(folder_.path() / "hub", kTimestamp, false);
  const auto snapshot = signed_text(meta_metadata(kSnapshot, 9, now_s + 1, "targets.json", 3, forged), {&snapshot_key});
  const auto timestamp =
      signed_text(meta_metadata(kTimestamp, 9, now_s + 1, "snapshot.json", 9, snapshot), {&timestamp_key});
  const auto offered =
      MetadataFiles{{"timestamp.json", timestamp}, {"9.snapshot.json", snapshot}, {"3.targets.json", forged}};
  EXPECT_THAT(refusal(fetch(now_s, offered)), HasSubstr("VRG-TUF-001"));
  EXPECT_THAT(drafts(), ElementsAre("3.root.json", "3.targets.json")) << "what was trusted before stays";
}

TEST_F(CeremonyTest, WhatTheHubSignsByItselfMustNotHaveExpired) {
  repository_ = std::move(*Repository::open(folder_.path() / "idle", {3650, 10, 365, 365}, kNow_s));
  EXPECT_EQ(refusal(fetch(kNow_s)), "");
  EXPECT_THAT(refusal(fetch(kNow_s + 10 * kDay_s)), HasSubstr("role 'targets' version 1 expired"));
  ASSERT_TRUE(repository_.renew(kNow_s + 10 * kDay_s));
  EXPECT_EQ(refusal(fetch(kNow_s + 10 * kDay_s)), "");
}

TEST_F(CeremonyTest, ADelegatedRoleSpeaksForItsPathsAndGoesOnItsOwn) {
  take_offline();
  const Person team{"team"};
  ASSERT_TRUE(ceremony_.delegate("team", {"models/cat/*"}, {{team.named()}, 1}, kNow_s));
  EXPECT_THAT(drafts(), ElementsAre("3.targets.json", "1.team.json"));
  EXPECT_THAT(ceremony_.drafts()->front().differences,
              ElementsAre(HasSubstr("+ delegation to 'team'"), HasSubstr("+ key of 'team'")))
      << "a date that stays is no difference";
  EXPECT_EQ(ceremony_.signers("team")->keys.front().name, "team");
  ASSERT_TRUE(ceremony_.sign(dave_.key));
  ASSERT_TRUE(ceremony_.sign(team.key));
  ASSERT_TRUE(publish());
  ASSERT_TRUE(
      repository_.publish({target_of("models/cat/1.0.0.json", "1"), target_of("models/dog/1.0.0.json", "2")}, kNow_s));
  ASSERT_TRUE(fetch());
  EXPECT_THAT(drafts(), UnorderedElementsAre("2.team.json", "4.targets.json"));
  ASSERT_TRUE(ceremony_.sign(team.key));
  const auto ready = ceremony_.publication();
  ASSERT_TRUE(ready) << ready.error().text();
  EXPECT_EQ(ready->files.size(), 1U);
  EXPECT_THAT(ready->left_out, ElementsAre("4.targets.json"));
  ASSERT_TRUE(publish());
  EXPECT_NE(repository_.find("models/cat/1.0.0.json"), nullptr);
  EXPECT_EQ(repository_.find("models/dog/1.0.0.json"), nullptr);
  ASSERT_TRUE(fetch());
  ASSERT_TRUE(ceremony_.end_delegation("team", kNow_s));
  EXPECT_THAT(ceremony_.end_delegation("team", kNow_s).error().text(), HasSubstr("VRG-TUF-016"));
}

TEST_F(CeremonyTest, WhatCannotBeSignedIsRefusedAndChangesNothing) {
  take_offline();
  const auto root = [&](std::vector<NamedKey> keys, std::int64_t threshold) {
    return refusal(ceremony_.set_signers("root", {std::move(keys), threshold}, kNow_s));
  };
  EXPECT_THAT(root({alice_.named()}, 2), HasSubstr("expected a threshold from 1 to 1"));
  EXPECT_THAT(root({alice_.named()}, 0), HasSubstr("VRG-TUF-016"));
  EXPECT_THAT(root({alice_.named(), alice_.named()}, 2), HasSubstr("is named twice"));
  for (const char* name : {"bin-0", "snapshot", "../escaped", "Team", ""}) {
    EXPECT_THAT(refusal(ceremony_.delegate(name, {"*"}, {{alice_.named()}, 1}, kNow_s)), HasSubstr("VRG-TUF-016"))
        << name;
  }
  EXPECT_THAT(refusal(ceremony_.delegate("team", {}, {{alice_.named()}, 1}, kNow_s)), HasSubstr("is no role yet"));
  EXPECT_THAT(ceremony_.signers("nobody").error().text(), HasSubstr("expected a role of root, targets"));
  EXPECT_THAT(drafts(), IsEmpty());
}

TEST_F(CeremonyTest, ADamagedFolderIsNamed) {
  take_offline();
  ASSERT_TRUE(write_file(folder_.path() / "papers" / "metadata" / "targets.json", std::string_view("{}")));
  EXPECT_THAT(ceremony_.drafts().error().text(), HasSubstr("targets.json' is damaged"));
  EXPECT_EQ(ceremony_.drafts().error().id(), "VRG-TUF-010");
}

TEST(CeremonyKeys, AreCalledByNameOrByTheBeginningOfTheirId) {
  const NamedKey key{"alice", crypto::PrivateKey::generate(crypto::KeyKind::ed25519).public_key()};
  const auto id = shown_name({"", key.key});
  EXPECT_EQ(shown_name(key), "alice");
  EXPECT_TRUE(is_called(key, "alice"));
  EXPECT_FALSE(is_called(key, "ali"));
  EXPECT_FALSE(is_called(key, ""));
  EXPECT_FALSE(is_called(key, id.substr(0, 7)));
  EXPECT_TRUE(is_called(key, id.substr(0, 8)));
}

}  // namespace
}  // namespace verge::trust
