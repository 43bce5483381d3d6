// Telemetry: samples are stored once each, in order, and are bounded whatever a device sends.
#include "fleet_of.hpp"
#include "verge/hub/store.hpp"

namespace verge::hub {
namespace {

class TelemetryTest : public HubTest {
 protected:
  static wire::TelemetryBatch batch_of(std::int64_t first, int count, const std::string& stream = "aa") {
    wire::TelemetryBatch batch;
    batch.version = 1;
    batch.stream = stream;
    for (int i = 0; i < count; ++i) {
      auto& sample = batch.samples.emplace_back();
      sample.sequence = first + i;
      sample.time_ms = 1000 * (first + i);
      sample.processor_load = 0.5;
    }
    return batch;
  }
  Result<wire::TelemetryAnswer> store(const Principal& device, const wire::TelemetryBatch& batch) {
    return hub_->store_telemetry(device, batch, retry_after_s_);
  }
  std::vector<std::int64_t> numbers(const std::string& device, std::int64_t since_ms = 0, std::int64_t limit = 1000) {
    std::vector<std::int64_t> found;
    for (const auto& sample : must(hub_->telemetry(admin_, device, since_ms, limit)).samples) {
      found.push_back(sample.sequence);
    }
    return found;
  }
  std::int64_t retry_after_s_ = 0;
};

TEST_F(TelemetryTest, EachSampleIsStoredOnce) {
  const auto cam = join("cam");
  EXPECT_EQ(must(store(cam, batch_of(1, 3))).stored_to, 3);
  EXPECT_EQ(must(store(cam, batch_of(2, 4))).stored_to, 5);  // Two of them again.
  open();                                                    // A restart of the hub.
  EXPECT_EQ(must(store(cam, batch_of(1, 2))).stored_to, 5);
  EXPECT_THAT(numbers("cam"), testing::ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(must(hub_->telemetry(admin_, "cam", 0, 10)).samples.front().processor_load, 0.5);
}

TEST_F(TelemetryTest, AnotherStreamHasItsOwnNumbers) {
  const auto cam = join("cam");
  must(store(cam, batch_of(1, 3)));
  EXPECT_EQ(must(store(cam, batch_of(1, 2, "bb"))).stored_to, 2);
  EXPECT_THAT(numbers("cam"), testing::ElementsAre(1, 2, 3, 1, 2));
}

TEST_F(TelemetryTest, WhatIsAskedForIsGiven) {
  const auto cam = join("cam");
  must(store(cam, batch_of(1, 10)));
  EXPECT_THAT(numbers("cam", 8000), testing::ElementsAre(8, 9, 10));
  EXPECT_THAT(numbers("cam", 0, 2), testing::ElementsAre(9, 10));
  EXPECT_TRUE(must(hub_->telemetry(admin_, "cam", 0, 2)).truncated);
  EXPECT_FALSE(must(hub_->telemetry(admin_, "cam", 0, 10)).truncated);
  EXPECT_EQ(hub_->telemetry(admin_, "nobody", 0, 10).error().id(), "VRG-HUB-005");
}

TEST_F(TelemetryTest, OnlyDevicesSendAndOnlyReadersSee) {
  const auto cam = join("cam");
  EXPECT_EQ(store(admin_, batch_of(1, 1)).error().id(), "VRG-HUB-012");
  EXPECT_EQ(hub_->telemetry(with(wire::Right::publish), "cam", 0, 10).error().id(), "VRG-HUB-011");
  EXPECT_TRUE(hub_->telemetry(with(wire::Right::read), "cam", 0, 10));
  ASSERT_TRUE(hub_->revoke(admin_, "cam"));
  EXPECT_EQ(store(cam, batch_of(1, 1)).error().id(), "VRG-HUB-017");
}

TEST_F(TelemetryTest, NumbersThatDoNotGoUpAreRefused) {
  const auto cam = join("cam");
  auto batch = batch_of(1, 3);
  batch.samples[2].sequence = 2;
  EXPECT_EQ(store(cam, batch).error().id(), "VRG-HUB-082");
  EXPECT_TRUE(numbers("cam").empty());
}

TEST_F(TelemetryTest, ADeviceThatFloodsIsThrottledAloneAndBounded) {
  setup_telemetry_.most_samples = 1000;
  open();
  const auto cam = join("cam");
  const auto other = join("other");
  int taken = 0;
  for (int i = 0; i < 500; ++i) {
    if (store(cam, batch_of(1 + 100 * i, 100))) ++taken;
  }
  EXPECT_EQ(taken, 60);
  EXPECT_EQ(store(cam, batch_of(1, 1)).error().id(), "VRG-HUB-081");
  EXPECT_GT(retry_after_s_, 0);
  EXPECT_LE(retry_after_s_, 60);
  EXPECT_EQ(numbers("cam", 0, 10'000).size(), 1000U);
  EXPECT_EQ(numbers("cam", 0, 10'000).back(), 6000);
  EXPECT_TRUE(store(other, batch_of(1, 1)));
  now_ms_ += 60'000;
  EXPECT_TRUE(store(cam, batch_of(100'000, 1)));
}

TEST_F(TelemetryTest, ADeviceThatInventsStreamsIsBoundedToo) {
  const auto cam = join("cam");
  for (int i = 0; i < 40; ++i) {
    now_ms_ += 2000;
    must(store(cam, batch_of(1, 1, "a" + std::to_string(i))));
  }
  const auto streams = [&] {
    std::int64_t count = 0;
    auto opened = Store::open(folder_.path() / "hub" / "hub.db");
    EXPECT_TRUE((*opened)->transaction([&](Transaction& transaction) -> Result<void> {
      count = transaction.count("telemetry_streams");
      return {};
    }));
    return count;
  };
  EXPECT_EQ(streams(), 16);
  EXPECT_EQ(must(store(cam, batch_of(1, 1, "a39"))).stored_to, 1);
  EXPECT_EQ(numbers("cam").size(), 40U);
}

TEST_F(TelemetryTest, WhatIsOldGoes) {
  const auto cam = join("cam");
  must(store(cam, batch_of(1, 3)));
  now_ms_ += std::int64_t{29} * 86'400'000;
  must(store(cam, batch_of(4, 3)));
  hub_->tick();
  EXPECT_EQ(numbers("cam").size(), 6U);
  now_ms_ += std::int64_t{2} * 86'400'000;
  hub_->tick();
  EXPECT_THAT(numbers("cam"), testing::ElementsAre(4, 5, 6));
  // What went is not stored again.
  EXPECT_EQ(must(store(cam, batch_of(1, 3))).stored_to, 6);
  EXPECT_THAT(numbers("cam"), testing::ElementsAre(4, 5, 6));
}

}  // namespace
}  // namespace verge::hub
