// Measured state: quotes of real software TPMs, honest and not, and what the policy gives to whom.
#include "measured_fleet.hpp"

namespace verge::hub {
namespace {

using testing::HasSubstr;
using State = wire::DeploymentDeviceState;
using wire::Verdict;

TEST_F(MeasuredTest, AGoodQuoteIsTrustedAndWithoutAPolicyNothingIsHeld) {
  Machine machine;
  join_as(machine, "cam");
  EXPECT_EQ(measured(machine).verdict, Verdict::none);
  show(machine);
  const auto verdict = measured(machine);
  EXPECT_EQ(verdict.verdict, Verdict::trusted);
  EXPECT_EQ(verdict.secure_boot, wire::SecureBoot::enabled);
  EXPECT_EQ(verdict.registers.size(), 2U);
  EXPECT_TRUE(verdict.key);
  EXPECT_FALSE(verdict.held);
  report(machine, std::nullopt);
  EXPECT_EQ(measured(machine).verdict, Verdict::trusted) << "no quote was asked for";
  EXPECT_EQ(measured(machine).registers.size(), 2U);
}

TEST_F(MeasuredTest, ANonceIsGivenAnewInTimeAndOldQuotesDoNotCount) {
  Machine machine;
  join_as(machine, "cam");
  require(rule());
  show(machine);
  EXPECT_EQ(machine.nonce, "");
  now_ms_ += 301'000;
  report(machine, std::nullopt);
  EXPECT_NE(machine.nonce, "") << "within the 900 s of the rule";
  EXPECT_EQ(held(machine), "");
  now_ms_ += 600'000;
  report(machine, std::nullopt);
  EXPECT_EQ(held(machine), "VRG-HUB-072") << "it no longer answers";
  report(machine, machine.quote(machine.nonce));
  report(machine, machine.quote(machine.nonce));  // The nonce had lain there for long; the next is new.
  EXPECT_EQ(held(machine), "");
  now_ms_ += 901'000;
  EXPECT_EQ(held(machine), "VRG-HUB-072") << "it no longer reports";
}

TEST_F(MeasuredTest, AReplayIsNotTrusted) {
  Machine machine;
  join_as(machine, "cam");
  report(machine, std::nullopt);
  const auto first = machine.quote(machine.nonce);
  report(machine, first);
  report(machine, first);
  EXPECT_EQ(measured(machine).verdict, Verdict::trusted) << "the answer may have been lost";
  now_ms_ += 400'000;
  const auto quoted_ms = measured(machine).quoted_ms;
  report(machine, first);
  EXPECT_EQ(measured(machine).quoted_ms, quoted_ms) << "but it gets no younger";
  report(machine, machine.quote(machine.nonce));
  EXPECT_EQ(measured(machine).verdict, Verdict::trusted);
  report(machine, first);
  EXPECT_EQ(measured(machine).verdict, Verdict::failed);
  EXPECT_EQ(why(machine), "VRG-ATT-006");
  EXPECT_TRUE(measured(machine).registers.empty());
  const auto events = must(hub_->events(admin_, 0, 1)).events;
  EXPECT_EQ(events.front().action, "device.measured");
  EXPECT_THAT(events.front().text.value_or(""), HasSubstr("VRG-ATT-006"));
  machine.instance = "another";
  report(machine, first);
  EXPECT_EQ(measured(machine).verdict, Verdict::failed) << "in another run, too";
  report(machine, machine.quote(machine.nonce));
  EXPECT_EQ(measured(machine).verdict, Verdict::trusted) << "an honest one ends it";
}

TEST_F(MeasuredTest, ANewRunOfTheAgentMustShowItselfAgain) {
  Machine machine;
  join_as(machine, "cam");
  require(rule());
  show(machine);
  EXPECT_EQ(held(machine), "");
  machine.instance = "after a boot";
  report(machine, std::nullopt);
  EXPECT_EQ(held(machine), "VRG-HUB-070");
  report(machine, machine.quote(machine.nonce));
  EXPECT_EQ(held(machine), "");
}

TEST_F(MeasuredTest, ForgedChangedAndForeignQuotesAreNotTrusted) {
  Machine machine;
  const Machine other;
  join_as(machine, "cam");
  const auto fails_with = [&](const wire::TpmQuote& quote, const std::string& id) {
    report(machine, quote);
    EXPECT_EQ(measured(machine).verdict, Verdict::failed);
    EXPECT_EQ(why(machine), id);
  };
  show(machine);
  now_ms_ += 400'000;
  report(machine, std::nullopt);
  const auto good = machine.quote(machine.nonce);
  auto changed = good;
  changed.message.back() = changed.message.back() == '0' ? '1' : '0';
  fails_with(changed, "VRG-ATT-004");
  changed = good;
  changed.signature = std::string(144, '0');
  fails_with(changed, "VRG-ATT-003");
  changed = good;
  changed.registers[0].value = std::string(64, 'f');
  fails_with(changed, "VRG-ATT-007");
  changed = good;
  changed.registers.pop_back();
  fails_with(changed, "VRG-ATT-007");
  fails_with(other.quote(machine.nonce), "VRG-ATT-004");
  report(machine, good);
  EXPECT_EQ(measured(machine).verdict, Verdict::trusted) << "what was forged has not used up the nonce";
}

TEST_F(MeasuredTest, TheKeyOfTheJoinIsBoundToItsRequest) {
  const Machine machine;
  const Machine other;
  const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  auto request = request_of("cam", key);
  const auto refused_with = [&](const wire::JoinAttestation& attestation) {
    request.attestation = attestation;
    const auto answer = hub_->certificate(request, "10.0.0.1");
    return answer ? std::string() : answer.error().id();
  };
  auto another = attestation_of(other, request.request);
  another.key = to_hex(machine.key.public_area);
  EXPECT_EQ(refused_with(another), "VRG-ATT-004") << "the quote is another TPM's";
  EXPECT_EQ(refused_with(attestation_of(machine, "another request")), "VRG-ATT-006");
  auto plain = attestation_of(machine, request.request);
  plain.key = to_hex(std::span(machine.key.public_area).first(40));
  EXPECT_EQ(refused_with(plain), "VRG-ATT-001");
  EXPECT_EQ(refused_with(attestation_of(machine, request.request)), "") << "the token was not used up";
}

TEST_F(MeasuredTest, AnotherTpmAfterTheJoinIsNotTrustedUntilItJoinsAnew) {
  Machine machine;
  join_as(machine, "cam");
  show(machine);
  machine.key = at_rest::open_tpm(machine.software.tcti()).value()->make_attestation_key().value();
  machine.instance = "another";
  show(machine);
  EXPECT_EQ(why(machine), "VRG-ATT-004") << "even another key of the same TPM";
  continuations_.clear();
  join_as(machine, "cam");
  show(machine);
  EXPECT_EQ(measured(machine).verdict, Verdict::trusted);
}

TEST_F(MeasuredTest, APolicyHoldsModelsBackUntilTheDevicePasses) {
  Machine good;
  Machine bad;
  join_as(good, "good");
  join_as(bad, "bad");
  show(good);
  bad.software.measure(7);
  show(bad);
  must(pin("name=good", {0, 7}));
  auto policy = must(hub_->measured_policy(admin_));
  policy.rules[0].selector = "all";
  must(hub_->set_measured_policy(admin_, policy));
  EXPECT_EQ(must(hub_->measured_policy(admin_)).rules[0].devices, 2);
  const auto digest = push("cat", "1.0.0");
  must(deploy("cat"));
  EXPECT_EQ(on("d-1", "good").state, State::pending);
  EXPECT_EQ(on("d-1", "bad").state, State::waiting);
  EXPECT_EQ(on("d-1", "bad").reason->id, "VRG-HUB-074");
  EXPECT_FALSE(desired(bad.principal));
  EXPECT_TRUE(gets_content(good, digest));
  EXPECT_FALSE(gets_content(bad, digest));
  const auto explained = must(hub_->explain(admin_, "d-1", "bad"));
  EXPECT_THAT(explained.timeline.back().text, HasSubstr("register 7 holds"));
  bad.software.boot_again();
  bad.instance = "after the boot";
  show(bad);
  EXPECT_EQ(on("d-1", "bad").state, State::pending);
  EXPECT_TRUE(desired(bad.principal));
  EXPECT_TRUE(gets_content(bad, digest));
  good.software.measure(0);
  good.instance = "with other firmware";
  show(good);
  EXPECT_FALSE(gets_content(good, digest)) << "though it was offered before";
  must(pin("all", {0, 7}));
  EXPECT_TRUE(gets_content(good, digest)) << "the change is the administrator's";
}

TEST_F(MeasuredTest, WithoutATpmOrAKeyAPolicyThatWantsAQuoteHolds) {
  Machine machine;
  machine.name = "plain";
  machine.principal = join("plain");
  require(rule());
  EXPECT_EQ(held(machine), "VRG-HUB-070") << "it has said nothing";
  auto without = report_for(machine.principal);
  must(send(machine.principal, without));
  EXPECT_EQ(held(machine), "VRG-HUB-070") << "an agent that knows nothing of it";
  report(machine, std::nullopt);
  EXPECT_EQ(machine.nonce, "") << "nobody could judge the quote";
  report(machine, machine.quote(std::string(64, '0')));
  EXPECT_EQ(measured(machine).verdict, Verdict::none);
  EXPECT_EQ(held(machine), "VRG-HUB-070");
  push("cat", "1.0.0");
  must(deploy("cat"));
  EXPECT_EQ(on("d-1", "plain").state, State::waiting);
  require(rule("name=somebody-else"));
  EXPECT_EQ(on("d-1", "plain").state, State::pending) << "released with the rule";
}

TEST_F(MeasuredTest, ReportsThatFallSilentAboutItAreNotTrusted) {
  Machine machine;
  join_as(machine, "cam");
  require(rule());
  show(machine);
  auto silent = report_for(machine.principal);
  silent.instance = machine.instance;
  must(send(machine.principal, silent));
  EXPECT_EQ(held(machine), "VRG-HUB-070");
  EXPECT_EQ(measured(machine).verdict, Verdict::none);
  auto lost = report_for(machine.principal);
  lost.instance = machine.instance;
  lost.measured.emplace();
  lost.measured->tpm = wire::TpmState::absent;
  lost.measured->message = "no device";
  must(send(machine.principal, lost));
  EXPECT_EQ(held(machine), "VRG-HUB-070");
  EXPECT_THAT(measured(machine).held->message, HasSubstr("no TPM answers on it: no device"));
}

TEST_F(MeasuredTest, SecureBootIsRequiredWhereARuleSaysSo) {
  Machine machine;
  join_as(machine, "cam");
  auto wanted = rule();
  wanted.quote = false;
  wanted.secure_boot = true;
  require(wanted);
  for (const auto state : {wire::SecureBoot::disabled, wire::SecureBoot::setup_mode, wire::SecureBoot::unknown}) {
    report(machine, std::nullopt, state);
    EXPECT_EQ(held(machine), "VRG-HUB-073") << wire::name(state);
  }
  report(machine, std::nullopt, wire::SecureBoot::enabled);
  EXPECT_EQ(held(machine), "");
}

TEST_F(MeasuredTest, ADeviceCannotTalkItselfOutOfARule) {
  Machine machine;
  join_as(machine, "cam");
  wire::DeviceLabels labels;
  labels.labels["site"] = "plant1";
  must(hub_->set_labels(admin_, "cam", labels));
  require(rule("site=plant1"));
  auto report = report_for(machine.principal);
  report.device.labels["site"] = "elsewhere";
  report.device.device_type = "other";
  must(send(machine.principal, report));
  EXPECT_EQ(held(machine), "VRG-HUB-070");
  require(rule("type!=other"));
  EXPECT_EQ(held(machine), "VRG-HUB-070") << "its own word for what it is";
}

TEST_F(MeasuredTest, OnlyGoodQuotesArePinned) {
  Machine machine;
  join_as(machine, "cam");
  EXPECT_EQ(pin("all", {7}).error().id(), "VRG-HUB-076") << "none yet";
  show(machine);
  EXPECT_EQ(pin("all", {4}).error().id(), "VRG-HUB-076") << "not quoted";
  EXPECT_EQ(pin("site=nowhere", {7}).error().id(), "VRG-HUB-079");
  EXPECT_EQ(pin("site", {7}).error().id(), "VRG-HUB-020");
  EXPECT_EQ(must(pin("all", {7})).rules.at(0).pcrs.at(0).values.size(), 1U);
  machine.software.measure(7);
  now_ms_ += 400'000;
  report(machine, std::nullopt);
  report(machine, machine.quote(machine.nonce));
  EXPECT_EQ(held(machine), "VRG-HUB-074");
  EXPECT_EQ(must(pin("all", {7}, true)).rules.at(0).pcrs.at(0).values.size(), 2U);
  EXPECT_EQ(must(pin("all", {7})).rules.at(0).pcrs.at(0).values.size(), 1U);
  EXPECT_EQ(held(machine), "");
  auto wanted = rule();
  wanted.pcrs.emplace_back().pcr = 4;
  wanted.pcrs[0].values = {std::string(64, '0')};
  require(wanted);
  EXPECT_EQ(held(machine), "VRG-HUB-075");
}

TEST_F(MeasuredTest, OnlyAdministratorsSetThePolicyAndItOutlivesARestart) {
  EXPECT_EQ(hub_->set_measured_policy(with(wire::Right::deploy), {}).error().id(), "VRG-HUB-011");
  wire::MeasuredPin wanted;
  wanted.selector = "all";
  EXPECT_EQ(hub_->pin_measured(with(wire::Right::deploy), wanted).error().id(), "VRG-HUB-011");
  Machine machine;
  join_as(machine, "cam");
  show(machine);
  must(pin("all", {7}));
  open();
  EXPECT_EQ(must(hub_->measured_policy(admin_)).rules.at(0).pcrs.at(0).pcr, 7);
  EXPECT_EQ(measured(machine).verdict, Verdict::trusted);
  EXPECT_EQ(held(machine), "");
}

}  // namespace
}  // namespace verge::hub
