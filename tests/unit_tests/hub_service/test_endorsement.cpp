// Whether attestation keys lie in real TPMs: honest devices, and those who would like to pass for one.
#include "maker.hpp"
#include "measured_fleet.hpp"

namespace verge::hub {
namespace {

using attestation::test::Maker;
using testing::HasSubstr;

class EndorsementTest : public MeasuredTest {
 protected:
  void SetUp() override {
    now_ms_ = attestation::test::kNow_s * 1000;
    MeasuredTest::SetUp();
  }
  static std::vector<std::byte> area_of(const Machine& machine) {
    return at_rest::open_tpm(machine.software.tcti()).value()->endorsement().value().public_area;
  }
  /// As an agent says it, with a certificate by the maker.
  wire::TpmEndorsement shown_by(const Machine& machine, const Maker* maker) const {
    wire::TpmEndorsement said;
    const auto area = area_of(machine);
    said.key = to_hex(area);
    if (maker != nullptr) said.certificate = to_hex(maker->endorse(attestation::test::key_in(area).get(), order_));
    return said;
  }
  void say(Machine& machine, const wire::TpmEndorsement& said) {
    report(machine, std::nullopt, wire::SecureBoot::enabled, said);
  }
  /// What the TPM makes of the hub's credential.
  static Result<std::vector<std::byte>> opened_by(const Machine& machine, const wire::ReportAnswer& answer) {
    const auto& credential = answer.measured_credential.value();
    return at_rest::open_tpm(machine.software.tcti())
        .value()
        ->activate(machine.key, area_of(machine), {bytes_of(credential.blob), bytes_of(credential.seed)});
  }
  static wire::TpmEndorsement secret_of(const std::vector<std::byte>& secret) {
    wire::TpmEndorsement said;
    said.secret = to_hex(secret);
    return said;
  }
  /// All of it, as an honest agent does.
  void activate(Machine& machine, const Maker* maker) {
    report(machine, std::nullopt);
    ASSERT_TRUE(machine.answer.measured_endorsement);
    say(machine, shown_by(machine, maker));
    ASSERT_TRUE(machine.answer.measured_credential);
    say(machine, secret_of(must(opened_by(machine, machine.answer))));
  }
  Result<wire::EndorsementAuthorities> trust(const std::vector<const Maker*>& makers) {
    wire::EndorsementAuthorities wanted;
    for (const auto* maker : makers) wanted.certificates += attestation::test::pem_of(maker->certificate.get());
    return hub_->set_endorsement_authorities(admin_, wanted);
  }
  void require_endorsed() {
    wire::MeasuredRule wanted;
    wanted.selector = "all";
    wanted.endorsed = true;
    require(wanted);
  }
  std::string endorsement_reason(const Machine& machine) {
    const auto verdict = measured(machine);
    return verdict.endorsement_reason ? verdict.endorsement_reason->id : "";
  }
  wire::HubEvent newest_event() { return must(hub_->events(admin_, 0, 1)).events.front(); }

  Maker maker_{"Maker"};
  attestation::test::Order order_{"EK", false, attestation::test::kForEndorsementKeys};
};

TEST_F(EndorsementTest, ADeviceWithARealTpmPassesOnceItHasShownIt) {
  Machine machine;
  join_as(machine, "cam");
  ASSERT_EQ(must(trust({&maker_})).authorities.size(), 1U);
  require_endorsed();
  show(machine);
  EXPECT_EQ(held(machine), "VRG-HUB-083") << "its quote is good, but the key may lie in a file";
  const auto digest = push("cat", "1.0.0");
  EXPECT_FALSE(gets_content(machine, digest));
  activate(machine, &maker_);
  const auto verdict = measured(machine);
  EXPECT_TRUE(verdict.activated);
  EXPECT_TRUE(verdict.endorsed);
  EXPECT_EQ(verdict.authority.value_or(""), "CN = Maker");
  EXPECT_EQ(verdict.endorsement.value_or("").substr(0, 7), "sha256:");
  EXPECT_FALSE(verdict.endorsement_reason);
  EXPECT_EQ(held(machine), "");
  EXPECT_TRUE(gets_content(machine, digest));
  EXPECT_EQ(newest_event().action, "device.endorsement");
  EXPECT_EQ(newest_event().text.value_or(""), "activated, endorsed by CN = Maker");
  report(machine, std::nullopt);
  EXPECT_FALSE(machine.answer.measured_endorsement) << "once is enough";
  machine.instance = "after a boot";
  show(machine);
  EXPECT_FALSE(machine.answer.measured_endorsement) << "also in another run";
  EXPECT_EQ(held(machine), "");
  open();
  EXPECT_EQ(held(machine), "") << "also after a restart of the hub";
}

TEST_F(EndorsementTest, WithoutACertificateItIsActivatedButNotEndorsed) {
  Machine machine;
  join_as(machine, "cam");
  must(trust({&maker_}));
  require_endorsed();
  show(machine);
  activate(machine, nullptr);
  EXPECT_TRUE(measured(machine).activated);
  EXPECT_FALSE(measured(machine).endorsed);
  EXPECT_EQ(held(machine), "VRG-HUB-084");
  EXPECT_THAT(measured(machine).held->message, HasSubstr("no certificate of its maker"));
}

TEST_F(EndorsementTest, AnUnknownAuthorityDoesNotCountUntilItIsNamed) {
  Machine machine;
  const Maker other("Other");
  join_as(machine, "cam");
  require_endorsed();
  show(machine);
  activate(machine, &other);
  EXPECT_EQ(held(machine), "VRG-HUB-084");
  EXPECT_THAT(measured(machine).held->message, HasSubstr("no endorsement authorities are named"));
  must(trust({&maker_}));
  EXPECT_EQ(endorsement_reason(machine), "VRG-ATT-014");
  EXPECT_EQ(held(machine), "VRG-HUB-084");
  push("cat", "1.0.0");
  must(deploy("cat"));
  EXPECT_EQ(on("d-1", "cam").state, wire::DeploymentDeviceState::waiting);
  must(trust({&maker_, &other}));
  EXPECT_EQ(held(machine), "");
  EXPECT_EQ(on("d-1", "cam").state, wire::DeploymentDeviceState::pending) << "released with the authority";
  must(trust({}));
  EXPECT_EQ(held(machine), "VRG-HUB-084") << "and held again without it";
  EXPECT_TRUE(measured(machine).activated);
}

TEST_F(EndorsementTest, AnExpiredCertificateDoesNotCountAndOneThatExpiresNoLonger) {
  Machine machine;
  join_as(machine, "cam");
  must(trust({&maker_}));
  require_endorsed();
  show(machine);
  order_.until_s = attestation::test::kNow_s - 1;
  activate(machine, &maker_);
  EXPECT_EQ(endorsement_reason(machine), "VRG-ATT-014");
  EXPECT_THAT(measured(machine).held->message, HasSubstr("expired"));
  order_.until_s = attestation::test::kNow_s + 600;
  continuations_.clear();
  join_as(machine, "cam");
  EXPECT_FALSE(measured(machine).activated) << "another join, another key";
  show(machine);
  activate(machine, &maker_);
  EXPECT_EQ(held(machine), "");
  now_ms_ += 601'000;
  EXPECT_EQ(held(machine), "VRG-HUB-084");
  EXPECT_THAT(measured(machine).held->message, HasSubstr("no longer valid"));
  EXPECT_FALSE(measured(machine).endorsed);
}

TEST_F(EndorsementTest, SomebodyElsesEndorsementKeyBesideAKeyOfAnotherTpmIsNotActivated) {
  Machine software;  // Stands for a key in a file: the hub cannot see the difference, the real TPM can.
  const Machine real;
  join_as(software, "cam");
  must(trust({&maker_}));
  require_endorsed();
  show(software);
  say(software, shown_by(real, &maker_));
  ASSERT_TRUE(software.answer.measured_credential);
  const auto& credential = software.answer.measured_credential.value();
  const auto tpm = at_rest::open_tpm(real.software.tcti()).value();
  const at_rest::Credential given{bytes_of(credential.blob), bytes_of(credential.seed)};
  const auto area = area_of(real);
  for (const auto& key : {real.key, software.key}) EXPECT_FALSE(tpm->activate(key, area, given));
  EXPECT_FALSE(opened_by(software, software.answer)) << "its own TPM has not the endorsement key";
  say(software, secret_of(std::vector<std::byte>(32)));
  EXPECT_EQ(endorsement_reason(software), "VRG-HUB-085");
  EXPECT_EQ(newest_event().action, "device.endorsement");
  EXPECT_THAT(newest_event().text.value_or(""), HasSubstr("VRG-HUB-085"));
  EXPECT_EQ(held(software), "VRG-HUB-083");
  // With the certificate of the real one, and an endorsement key of its own.
  auto mixed = shown_by(software, nullptr);
  mixed.certificate = shown_by(real, &maker_).certificate;
  say(software, mixed);
  say(software, secret_of(must(opened_by(software, software.answer))));
  EXPECT_TRUE(measured(software).activated) << "the two keys do lie together";
  EXPECT_EQ(endorsement_reason(software), "VRG-ATT-013");
  EXPECT_EQ(held(software), "VRG-HUB-084");
}

TEST_F(EndorsementTest, ARealTpmWithAnotherKeyThanThatOfTheJoinIsNotActivated) {
  Machine machine;
  join_as(machine, "cam");
  show(machine);
  say(machine, shown_by(machine, &maker_));
  machine.key = at_rest::open_tpm(machine.software.tcti()).value()->make_attestation_key().value();
  EXPECT_EQ(opened_by(machine, machine.answer).error().id(), "VRG-RST-021");
}

TEST_F(EndorsementTest, AnOldSecretPlayedAgainFailsAndTheDeviceCanRecover) {
  Machine machine;
  Machine other;
  join_as(machine, "cam");
  join_as(other, "other");
  show(machine);
  show(other);
  say(machine, shown_by(machine, &maker_));
  const auto used = must(opened_by(machine, machine.answer));
  say(machine, secret_of(used));
  EXPECT_TRUE(measured(machine).activated);
  EXPECT_FALSE(must(hub_->device(admin_, "cam")).report->measured->endorsement) << "nobody is shown the secret";
  say(machine, secret_of(used));
  EXPECT_TRUE(measured(machine).activated) << "the answer to the report before may have been lost";
  say(other, secret_of(used));
  EXPECT_EQ(endorsement_reason(other), "VRG-HUB-085") << "another device's; and nothing was asked of this one";
  say(machine, secret_of(std::vector<std::byte>(32)));
  EXPECT_FALSE(measured(machine).activated);
  EXPECT_TRUE(machine.answer.measured_endorsement) << "and it is asked anew";
  say(machine, secret_of(used));
  EXPECT_EQ(endorsement_reason(machine), "VRG-HUB-085") << "of a credential that was used up";
  say(machine, shown_by(machine, &maker_));
  const auto first = must(opened_by(machine, machine.answer));
  say(machine, shown_by(machine, &maker_));
  const auto second = must(opened_by(machine, machine.answer));
  say(machine, secret_of(first));
  EXPECT_FALSE(measured(machine).activated) << "of the credential before the newest";
  EXPECT_EQ(endorsement_reason(machine), "VRG-HUB-085");
  say(machine, secret_of(second));
  EXPECT_FALSE(measured(machine).activated) << "there is no second try";
  activate(machine, &maker_);
  EXPECT_TRUE(measured(machine).activated);
}

TEST_F(EndorsementTest, WhatIsNoEndorsementKeyOrCannotBeHadIsSaidAndAskedForAgainLater) {
  Machine machine;
  join_as(machine, "cam");
  show(machine);
  wire::TpmEndorsement said;
  said.message = "the TPM refuses to make its endorsement key";
  say(machine, said);
  EXPECT_FALSE(machine.answer.measured_endorsement);
  EXPECT_EQ(endorsement_reason(machine), "VRG-HUB-083");
  report(machine, std::nullopt);
  EXPECT_FALSE(machine.answer.measured_endorsement);
  now_ms_ += 300'000;
  report(machine, std::nullopt);
  EXPECT_TRUE(machine.answer.measured_endorsement);
  say(machine, said);
  machine.instance = "after a restart";
  report(machine, std::nullopt);
  EXPECT_TRUE(machine.answer.measured_endorsement) << "at once";
  said = {};
  said.key = to_hex(machine.key.public_area);
  say(machine, said);
  EXPECT_EQ(endorsement_reason(machine), "VRG-ATT-009") << "an attestation key is none";
  EXPECT_FALSE(machine.answer.measured_credential);
  said.key = "00";
  say(machine, said);
  EXPECT_EQ(endorsement_reason(machine), "VRG-ATT-008");
}

TEST_F(EndorsementTest, AnAgentThatKnowsNothingOfItGoesOnAndWithoutAKeyNothingIsAsked) {
  Machine machine;
  join_as(machine, "cam");
  show(machine);
  EXPECT_TRUE(machine.answer.measured_endorsement);
  EXPECT_EQ(measured(machine).verdict, wire::Verdict::trusted);
  EXPECT_EQ(held(machine), "") << "no rule asks for it";
  Machine keyless;
  keyless.name = "keyless";
  keyless.principal = join("keyless");
  report(keyless, std::nullopt);
  EXPECT_FALSE(keyless.answer.measured_endorsement);
  say(keyless, shown_by(keyless, &maker_));
  EXPECT_FALSE(keyless.answer.measured_credential) << "there is no key to be activated";
  EXPECT_FALSE(measured(keyless).activated);
}

TEST_F(EndorsementTest, OnlyAdministratorsNameAuthoritiesAndOnlyAuthoritiesAreTaken) {
  EXPECT_EQ(hub_->set_endorsement_authorities(with(wire::Right::deploy), {}).error().id(), "VRG-HUB-011");
  EXPECT_TRUE(must(hub_->endorsement_authorities(with(wire::Right::read))).authorities.empty());
  must(trust({&maker_}));
  wire::EndorsementAuthorities garbage;
  garbage.certificates = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  EXPECT_EQ(hub_->set_endorsement_authorities(admin_, garbage).error().id(), "VRG-ATT-011");
  EXPECT_EQ(must(hub_->endorsement_authorities(admin_)).authorities.at(0).name, "CN = Maker");
}

}  // namespace
}  // namespace verge::hub
