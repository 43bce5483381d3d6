// Rights of every call, joining, two machines with one identity.
#include "fleet_of.hpp"

namespace verge::hub {
namespace {

using testing::HasSubstr;
using wire::Right;

TEST_F(HubTest, EveryCallNeedsItsRight) {
  using Call = std::function<Result<void>(const Principal&)>;
  const auto plain = [](auto result) -> Result<void> {
    if (!result) return Error(result.error());
    return {};
  };
  Hub& hub = *hub_;
  Registry& registry = hub.registry();
  const std::vector<std::pair<Right, Call>> calls{
      {Right::administer, [&](const Principal& p) { return plain(hub.create_token(p, {})); }},
      {Right::administer, [&](const Principal& p) { return plain(hub.list_tokens(p)); }},
      {Right::administer, [&](const Principal& p) { return hub.delete_token(p, "x"); }},
      {Right::administer, [&](const Principal& p) { return plain(hub.create_enrolment(p, {}, "https://x")); }},
      {Right::administer, [&](const Principal& p) { return plain(hub.list_enrolments(p)); }},
      {Right::administer, [&](const Principal& p) { return hub.revoke(p, "x"); }},
      {Right::administer, [&](const Principal& p) { return plain(hub.resolve(p, "x")); }},
      {Right::read, [&](const Principal& p) { return plain(hub.events(p, 0, 1)); }},
      {Right::read, [&](const Principal& p) { return plain(hub.devices(p, "")); }},
      {Right::read, [&](const Principal& p) { return plain(hub.device(p, "x")); }},
      {Right::read, [&](const Principal& p) { return plain(hub.models(p)); }},
      {Right::read, [&](const Principal& p) { return plain(hub.model(p, "x")); }},
      {Right::read, [&](const Principal& p) { return plain(hub.applications(p)); }},
      {Right::read, [&](const Principal& p) { return plain(hub.application(p, "x")); }},
      {Right::read, [&](const Principal& p) { return plain(hub.deployments(p, "", 1)); }},
      {Right::read, [&](const Principal& p) { return plain(hub.deployment(p, "d-1")); }},
      {Right::read, [&](const Principal& p) { return plain(hub.explain(p, "d-1", "x")); }},
      {Right::read, [&](const Principal& p) { return plain(hub.freeze(p)); }},
      {Right::read, [&](const Principal& p) { return plain(registry.blob(p, "r", "x")); }},
      {Right::read, [&](const Principal& p) { return plain(registry.manifest(p, "r", "x")); }},
      {Right::read, [&](const Principal& p) { return plain(registry.tags(p, "r")); }},
      {Right::read, [&](const Principal& p) { return plain(registry.referrers(p, "r", "x", "", "")); }},
      {Right::read, [&](const Principal& p) { return plain(registry.repositories(p)); }},
      {Right::read, [&](const Principal& p) { return plain(registry.usage(p)); }},
      {Right::administer, [&](const Principal& p) { return plain(registry.collect_garbage(p, true, false)); }},
      {Right::publish, [&](const Principal& p) { return hub.delete_model_version(p, "x", "1.0.0"); }},
      {Right::publish, [&](const Principal& p) { return plain(hub.add_application(p, {})); }},
      {Right::publish, [&](const Principal& p) { return registry.delete_blob(p, "r", "x"); }},
      {Right::publish, [&](const Principal& p) { return plain(registry.begin_upload(p, "r")); }},
      {Right::publish, [&](const Principal& p) { return plain(registry.mount(p, "r", "x", "s")); }},
      {Right::publish, [&](const Principal& p) { return plain(registry.upload(p, "r", "x")); }},
      {Right::publish, [&](const Principal& p) { return plain(registry.append(p, "r", "x", {})); }},
      {Right::publish, [&](const Principal& p) { return plain(registry.finish(p, "r", "x", "y", {})); }},
      {Right::publish, [&](const Principal& p) { return registry.cancel(p, "r", "x"); }},
      {Right::publish, [&](const Principal& p) { return plain(registry.put_manifest(p, "r", "x", "", "{}")); }},
      {Right::publish, [&](const Principal& p) { return registry.delete_manifest(p, "r", "x"); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.set_labels(p, "x", {})); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.set_floor(p, "x", {})); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.deploy(p, {})); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.rollback_deployment(p, "d-1")); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.rollback(p, {})); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.remove(p, {})); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.set_freeze(p, {})); }},
      {Right::deploy, [&](const Principal& p) { return plain(hub.apply(p, {}, true)); }},
  };
  std::size_t number = 0;
  for (const auto& [needed, call] : calls) {
    SCOPED_TRACE(number++);
    const auto nobody = call({});
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().id(), "VRG-HUB-010");
    for (const auto right : {Right::read, Right::publish, Right::deploy, Right::administer}) {
      const auto result = call(with(right));
      if (right != needed) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().id(), "VRG-HUB-011");
        EXPECT_THAT(result.error().message(), HasSubstr(std::string("the right '") + std::string(wire::name(needed))));
      } else if (!result) {
        EXPECT_NE(result.error().id(), "VRG-HUB-011");
      }
    }
  }
}

TEST_F(HubTest, DeviceCallsNeedADevice) {
  EXPECT_EQ(hub_->report(admin_, {}).error().id(), "VRG-HUB-012");
  EXPECT_EQ(hub_->device_blob(admin_, "x").error().id(), "VRG-HUB-012");
  hub_->desired(admin_, 0, 0, [](const auto& answer) { EXPECT_EQ(answer.error().id(), "VRG-HUB-012"); });
  auto device = join("cam-1");
  EXPECT_TRUE(send(device, report_for(device)));
  device.key_fingerprint = "sha256:another";
  EXPECT_EQ(hub_->report(device, report_for(device)).error().id(), "VRG-HUB-016");
}

TEST_F(HubTest, TheFirstTokenIsShownUntilItIsKept) {
  const auto first = hub_->first_token();
  EXPECT_FALSE(first.empty());
  admin_ = {};
  open();
  const auto second = hub_->first_token();
  EXPECT_NE(first, second) << "nobody has seen the first";
  EXPECT_TRUE(must(hub_->authenticate(first)).name.empty());
  EXPECT_EQ(must(hub_->authenticate(second)).name, "admin");
  ASSERT_TRUE(hub_->keep_login("login " + second));
  open();
  EXPECT_EQ(hub_->first_token(), "");
  EXPECT_EQ(must(hub_->authenticate(second)).name, "admin");
  const auto listed = must(hub_->list_tokens(admin_)).tokens;
  EXPECT_EQ(hub_->delete_token(admin_, listed.front().id).error().id(), "VRG-HUB-007") << "the last that administers";
}

TEST_F(HubTest, AYearLaterTheKeyStillRenews) {
  const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
  wire::EnrolmentRequest wanted;
  wanted.expires_s = 60;
  const auto enrolment = must(hub_->create_enrolment(admin_, wanted, "https://hub:1"));
  wire::CertificateRequest request;
  request.device = "cam-1";
  request.request = crypto::make_request(key, "cam-1");
  request.token = enrolment.token;
  now_ms_ += 61'000;
  const auto late = hub_->certificate(request, "a");
  EXPECT_EQ(late.error().id(), "VRG-HUB-014");
  EXPECT_THAT(late.error().message(),
              HasSubstr("expired at 2023-11-14 22:14:20 UTC; it is now 2023-11-14 22:14:21 UTC"));
  now_ms_ -= 61'000;
  must(hub_->certificate(request, "a"));
  now_ms_ += std::int64_t{400} * 86400 * 1000;
  request.token.reset();
  const auto info = must(crypto::read_certificate(must(hub_->certificate(request, "a")).certificate));
  EXPECT_EQ(info.common_name, "cam-1");
  EXPECT_GT(info.not_after_s, now_ms_ / 1000);
}

TEST_F(HubTest, TwoMachinesWithOneIdentityAreFound) {
  const auto device = join("cam-1");
  const auto send_as = [&](const std::string& instance, const std::string& continuation) {
    auto report = report_for(device);
    report.instance = instance;
    report.continuation = continuation;
    return hub_->report(device, report);
  };
  const auto first = must(send_as("one", "")).continuation;
  const auto second = must(send_as("one", first)).continuation;
  const auto lost = must(send_as("one", first)).continuation;
  EXPECT_NE(second, lost);
  const auto conflict = send_as("two", second);
  ASSERT_FALSE(conflict) << "whoever has the lost answer is another machine";
  EXPECT_EQ(conflict.error().id(), "VRG-HUB-018");
  EXPECT_THAT(conflict.error().message(), HasSubstr("instance one at 10.0.0.1 and instance two at 10.0.0.1"));
  EXPECT_FALSE(send_as("one", lost)) << "neither of them";
  must(hub_->resolve(admin_, "cam-1"));
  const auto resolved = must(send_as("two", "whatever")).continuation;
  EXPECT_FALSE(send_as("one", lost));
  must(hub_->resolve(admin_, "cam-1"));
  must(send_as("two", resolved));
  EXPECT_EQ(hub_->resolve(admin_, "cam-1").error().id(), "VRG-HUB-009");
  const auto again = join("cam-1");
  must(hub_->report(again, [&] {
    auto report = report_for(again);
    report.continuation.reset();
    return report;
  }()));
}

}  // namespace
}  // namespace verge::hub
