// Rules of deployments: who is offered what, what supersedes what, where a rollback leads.
#include "fleet_of.hpp"

namespace verge::hub {
namespace {

using testing::HasSubstr;
using State = wire::DeploymentDeviceState;

wire::ReportedApplication running(const std::string& application, const std::string& version,
                                  const std::string& digest) {
  wire::ReportedApplication reported;
  reported.application = application;
  reported.active.emplace();
  reported.active->version = version;
  reported.active->digest = digest;
  return reported;
}

void update(wire::ReportedApplication& reported, const std::string& deployment, wire::UpdateState state) {
  reported.update.emplace();
  reported.update->deployment = deployment;
  reported.update->version = reported.active->version;
  reported.update->digest = reported.active->digest;
  reported.update->state = state;
}

TEST_F(HubTest, ADeviceThatCannotTakeItIsSkippedAndOneThatNeverReportedWaits) {
  const auto able = join("able");
  const auto small = join("small");
  const auto silent = join("silent");
  must(send(able, report_for(able)));
  auto little = report_for(small);
  little.device.memory_available_bytes = 10;
  must(send(small, little));
  push("cat", "1.0.0", 1000);
  must(deploy("cat"));
  EXPECT_EQ(on("d-1", "able").state, State::pending);
  EXPECT_EQ(on("d-1", "small").state, State::skipped);
  EXPECT_EQ(on("d-1", "small").reason->id, "VRG-FIT-001");
  EXPECT_THAT(on("d-1", "small").reason->message, HasSubstr("small skipped: needs 1000 bytes of memory; has 10 bytes"));
  EXPECT_EQ(on("d-1", "silent").state, State::waiting);
  EXPECT_TRUE(desired(able));
  EXPECT_FALSE(desired(small));
  EXPECT_FALSE(desired(silent));
  must(send(silent, report_for(silent)));
  EXPECT_EQ(on("d-1", "silent").state, State::pending);
  EXPECT_TRUE(desired(silent));
}

TEST_F(HubTest, EachApplicationIsItsOwnAndANewerDeploymentSupersedes) {
  const auto device = join("cam-1");
  must(send(device, report_for(device)));
  push("cat", "1.0.0");
  push("cat", "1.1.0");
  push("dog", "1.0.0");
  must(deploy("cat", "1.0.0"));
  must(deploy("dog"));
  const auto version = desired(device)->version;
  must(deploy("cat"));
  EXPECT_EQ(on("d-1", "cam-1").state, State::superseded);
  EXPECT_THAT(on("d-1", "cam-1").reason->message, HasSubstr("d-3"));
  EXPECT_EQ(on("d-2", "cam-1").state, State::pending);
  const auto state = desired(device);
  EXPECT_GT(state->version, version);
  ASSERT_EQ(state->applications.size(), 2U);
  EXPECT_EQ(state->applications[0].version, "1.1.0");
  EXPECT_EQ(state->applications[0].deployment, "d-3");
}

TEST_F(HubTest, ARollbackLeadsToWhatTheDeviceRanNotToWhatWasRefused) {
  const auto device = join("cam-1");
  const auto first = push("cat", "1.0.0");
  push("cat", "1.1.0");
  push("cat", "1.2.0");
  must(send(device, report_for(device)));
  must(deploy("cat", "1.0.0"));
  auto report = report_for(device);
  report.applications = {running("cat", "1.0.0", first)};
  update(report.applications[0], "d-1", wire::UpdateState::committed);
  must(send(device, report));
  must(deploy("cat", "1.1.0"));
  report = report_for(device);
  report.applications = {running("cat", "1.0.0", first)};
  update(report.applications[0], "d-2", wire::UpdateState::refused);
  must(send(device, report));
  EXPECT_EQ(on("d-2", "cam-1").state, State::refused);
  must(deploy("cat", "1.2.0"));
  const auto back = must(hub_->rollback_deployment(admin_, "d-3"));
  EXPECT_EQ(back.devices[0].version, "1.0.0");
  EXPECT_EQ(desired(device)->applications[0].digest, first);
  EXPECT_EQ(on("d-3", "cam-1").state, State::superseded);
  EXPECT_EQ(hub_->rollback_deployment(admin_, "d-3").error().id(), "VRG-HUB-038") << "it was taken back already";
  // Of the very first one nothing is left.
  must(hub_->rollback_deployment(admin_, "d-4"));
}

TEST_F(HubTest, TheFirstDeploymentRolledBackEndsTheApplication) {
  const auto device = join("cam-1");
  must(send(device, report_for(device)));
  push("cat", "1.0.0");
  must(deploy("cat"));
  const auto back = must(hub_->rollback_deployment(admin_, "d-1"));
  EXPECT_FALSE(back.devices[0].version);
  EXPECT_TRUE(desired(device)->applications.empty());
  auto report = report_for(device);
  report.desired_version = desired(device)->version;
  must(send(device, report));
  EXPECT_EQ(on("d-2", "cam-1").state, State::committed);
}

TEST_F(HubTest, AWaitingDeploymentThatIsTakenBackNeverBegins) {
  const auto device = join("cam-1");
  push("cat", "1.0.0");
  must(deploy("cat"));
  must(hub_->rollback_deployment(admin_, "d-1"));
  EXPECT_EQ(on("d-1", "cam-1").state, State::superseded);
  must(send(device, report_for(device)));
  EXPECT_FALSE(desired(device));
}

TEST_F(HubTest, ASupersededUpdateDoesNotComeBackByALateReport) {
  const auto device = join("cam-1");
  must(send(device, report_for(device)));
  const auto first = push("cat", "1.0.0");
  push("cat", "1.1.0");
  must(deploy("cat", "1.0.0"));
  must(deploy("cat", "1.1.0"));
  auto report = report_for(device);
  report.applications = {running("cat", "1.0.0", first)};
  update(report.applications[0], "d-1", wire::UpdateState::committed);
  must(send(device, report));
  EXPECT_EQ(on("d-1", "cam-1").state, State::superseded);
  EXPECT_EQ(on("d-2", "cam-1").state, State::pending);
}

TEST_F(HubTest, AFrozenFleetRecordsAndWaits) {
  const auto device = join("cam-1");
  must(send(device, report_for(device)));
  push("cat", "1.0.0");
  push("cat", "1.1.0");
  wire::FleetFreeze freeze;
  freeze.frozen = true;
  must(hub_->set_freeze(admin_, freeze));
  const auto frozen_version = desired(device)->version;
  EXPECT_TRUE(desired(device)->frozen);
  must(deploy("cat", "1.0.0"));
  must(deploy("cat", "1.1.0"));
  EXPECT_FALSE(desired(device, frozen_version));
  freeze.frozen = false;
  must(hub_->set_freeze(admin_, freeze));
  EXPECT_EQ(desired(device)->applications[0].version, "1.1.0");
  EXPECT_FALSE(desired(device)->frozen);
  EXPECT_EQ(on("d-1", "cam-1").state, State::superseded) << "released in their order";
}

TEST_F(HubTest, FloorsGoIntoEveryTargetAndAreHeld) {
  const auto device = join("cam-1");
  must(send(device, report_for(device)));
  push("cat", "1.0.0");
  push("cat", "1.1.0");
  wire::Application pets;
  pets.schema_version = 1;
  pets.name = "pets";
  pets.version = "1.0.0";
  pets.models.emplace_back();
  pets.models[0].model = "cat";
  pets.models[0].version = "1.0.0";
  must(hub_->add_application(admin_, pets));
  wire::VersionFloor floor;
  floor.version = "1.1.0";
  must(hub_->set_floor(admin_, "cat", floor));
  for (const auto& version : must(hub_->model(admin_, "cat")).versions) {
    EXPECT_EQ(version.custom->version_floor.value_or(""), "1.1.0");
  }
  EXPECT_EQ(deploy("cat", "1.0.0").error().id(), "VRG-HUB-030");
  EXPECT_EQ(deploy("pets").error().id(), "VRG-HUB-030") << "by a model of it";
  EXPECT_TRUE(deploy("cat"));
}

TEST_F(HubTest, AFleetFileAppliedTwiceChangesNothing) {
  const auto device = join("cam-1");
  must(send(device, report_for(device)));
  push("cat", "1.0.0");
  wire::Fleet fleet;
  fleet.schema_version = 1;
  fleet.floors["cat"] = "1.0.0";
  fleet.deployments.emplace_back();
  fleet.deployments[0].application = "cat";
  fleet.deployments[0].selector = "all";
  EXPECT_EQ(must(hub_->apply(admin_, fleet, true)).changes.size(), 2U);
  EXPECT_FALSE(desired(device)) << "a dry run";
  EXPECT_EQ(must(hub_->apply(admin_, fleet, false)).changes.size(), 2U);
  EXPECT_TRUE(must(hub_->apply(admin_, fleet, false)).changes.empty());
  push("cat", "1.1.0");
  EXPECT_EQ(must(hub_->apply(admin_, fleet, false)).changes.size(), 1U) << "the newest version";
  fleet.deployments[0].version = "9.0.0";
  fleet.floors["cat"] = "0.5.0";
  EXPECT_FALSE(hub_->apply(admin_, fleet, false));
  EXPECT_EQ(must(hub_->model(admin_, "cat")).floor.value_or(""), "1.0.0") << "all or nothing";
}

TEST_F(HubTest, TheTimeLineSetsTheDevicesClockRight) {
  const auto device = join("cam-1");
  must(send(device, report_for(device)));
  const auto digest = push("cat", "1.0.0");
  must(deploy("cat"));
  now_ms_ += 5000;
  auto report = report_for(device);
  constexpr std::int64_t kAhead = std::int64_t{86400} * 1000 * 365;
  report.time_ms = now_ms_ + kAhead;
  report.applications = {running("cat", "1.0.0", digest)};
  update(report.applications[0], "d-1", wire::UpdateState::testing);
  wire::TimelineEntry step;
  step.at_ms = *report.time_ms - 2000;
  step.state = wire::UpdateState::testing;
  step.text = "golden samples agree";
  report.applications[0].update->timeline.push_back(step);
  must(send(device, report));
  const auto story = must(hub_->explain(admin_, "d-1", "cam-1"));
  ASSERT_EQ(story.timeline.size(), 4U);
  EXPECT_EQ(story.timeline[2].text, "golden samples agree");
  EXPECT_EQ(story.timeline[2].at_ms, now_ms_ - 2000);
}

TEST_F(HubTest, TargetsArePublishedAgainAfterACrashBetweenCommitAndPublishing) {
  push("cat", "1.0.0");
  std::filesystem::copy(folder_.path() / "hub" / "trust", folder_.path() / "old",
                        std::filesystem::copy_options::recursive);
  const auto digest = push("cat", "1.1.0");
  hub_.reset();
  std::filesystem::remove_all(folder_.path() / "hub" / "trust");
  std::filesystem::rename(folder_.path() / "old", folder_.path() / "hub" / "trust");
  open();
  EXPECT_TRUE(hub_->trust_target("models/cat/" + digest.substr(7) + ".1.1.0.json"));
  EXPECT_EQ(hub_->trust_target("models/cat/" + std::string(64, '0') + ".1.1.0.json").error().id(), "VRG-HUB-005");
}

}  // namespace
}  // namespace verge::hub
