#include <fstream>
#include <thread>

#include "store_of.hpp"

namespace verge::hub {
namespace {

using testing::HasSubstr;

TEST_F(HubStore, KeepsWhatIsCommittedAndForgetsTheRest) {
  in([](Transaction& t) { t.add(TokenRecord{"t-1", "admin", "sha256:x", "read", 5}); });
  const auto failed = store_->transaction([](Transaction& t) -> Result<void> {
    t.add(TokenRecord{"t-2", "other", "sha256:y", "read", 6});
    return Error(ErrorCode::aborted, "VRG-TST-001", "undo");
  });
  EXPECT_EQ(failed.error().id(), "VRG-TST-001");
  open();
  in([](Transaction& t) {
    ASSERT_EQ(t.tokens().size(), 1U);
    EXPECT_EQ(t.token_by_hash("sha256:x")->name, "admin");
    EXPECT_FALSE(t.token_by_hash("sha256:y"));
    EXPECT_TRUE(t.remove_token("t-1"));
    EXPECT_FALSE(t.remove_token("t-1"));
  });
}

TEST_F(HubStore, ADatabaseErrorIsAnErrorAndUndoesEverything) {
  in([](Transaction& t) { t.add(TokenRecord{"t-1", "a", "h", "read", 1}); });
  const auto twice = store_->transaction([](Transaction& t) -> Result<void> {
    t.set_setting("key", "value");
    t.add(TokenRecord{"t-1", "a", "other", "read", 1});
    return {};
  });
  EXPECT_EQ(twice.error().id(), "VRG-HUB-001");
  in([](Transaction& t) { EXPECT_EQ(t.setting("key"), ""); });
}

TEST_F(HubStore, RefersToWhatIsThereOnly) {
  const auto nobody = store_->transaction([](Transaction& t) -> Result<void> {
    t.put(DesiredRecord{"nobody", "cat", "1.0.0", "t", "d", "d-1", ""});
    return {};
  });
  EXPECT_EQ(nobody.error().id(), "VRG-HUB-001");
}

TEST_F(HubStore, RefusesADatabaseOfANewerProgram) {
  {
    auto newer = Store::open(folder_.path() / "other.db");
    ASSERT_TRUE(newer);
  }
  const auto command =
      "sqlite3 " + (folder_.path() / "other.db").string() + " 'insert into schema_version values (99)'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto opened = Store::open(folder_.path() / "other.db");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().id(), "VRG-HUB-002");
  EXPECT_THAT(opened.error().message(), HasSubstr("version 99"));
}

TEST_F(HubStore, RefusesWhatIsNoDatabase) {
  std::ofstream(folder_.path() / "bad.db") << std::string(5000, 'x');
  EXPECT_EQ(Store::open(folder_.path() / "bad.db").error().id(), "VRG-HUB-001");
}

TEST_F(HubStore, DevicesAndWhatTheyShouldRun) {
  in([](Transaction& t) {
    DeviceRecord device;
    device.name = "cam-1";
    device.key_fingerprint = "sha256:k";
    device.report = "{\"ümlaut\": \"'; drop table devices; --\"}";
    t.put(device);
    t.put(DesiredRecord{"cam-1", "cat", "1.0.0", "t", "d", "d-1", ""});
    EXPECT_EQ(t.raise_desired_version("cam-1"), 1);
    device.desired_version = 1;
    device.instance = "again";
    t.put(device);
  });
  open();
  in([](Transaction& t) {
    const auto device = t.device_by_key("sha256:k");
    ASSERT_TRUE(device);
    EXPECT_EQ(device->instance, "again");
    EXPECT_THAT(device->report, HasSubstr("drop table"));
    EXPECT_EQ(t.raise_desired_version("cam-1"), 2);
    ASSERT_EQ(t.desired("cam-1").size(), 1U);
    t.put(DesiredRecord{"cam-1", "cat", "2.0.0", "t", "d", "d-2", ""});
    EXPECT_EQ(t.desired("cam-1").front().version, "2.0.0");
    t.remove_desired("cam-1", "cat");
    EXPECT_TRUE(t.all_desired().empty());
  });
}

TEST_F(HubStore, DeploymentsKnowTheirDevices) {
  in([](Transaction& t) {
    DeviceRecord device;
    device.name = "cam-1";
    t.put(device);
    DeploymentRecord deployment;
    deployment.application = "cat";
    for (const char* state : {"waiting", "pending", "committed"}) {
      DeploymentDeviceRecord row;
      row.number = t.add(deployment);
      row.device = "cam-1";
      row.state = state;
      t.put(row);
    }
    EXPECT_EQ(t.open_deployments("cam-1").size(), 2U);
    EXPECT_EQ(t.waiting().front().number, 1);
    EXPECT_EQ(t.waiting().front().application, "cat");
    EXPECT_EQ(t.deployments("", 2).front().number, 3);
    EXPECT_EQ(t.deployments("dog", 2).size(), 0U);
    EXPECT_EQ(t.deployment_counts(3).at("committed"), 1);
  });
}

TEST_F(HubStore, TransactionsOfManyThreadsFollowOneAnother) {
  std::vector<std::thread> threads;
  in([](Transaction& t) { t.set_setting("count", "0"); });
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 25; ++j) {
        in([](Transaction& t) { t.set_setting("count", std::to_string(std::stoi(t.setting("count")) + 1)); });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  in([](Transaction& t) { EXPECT_EQ(t.setting("count"), "100"); });
}

}  // namespace
}  // namespace verge::hub
