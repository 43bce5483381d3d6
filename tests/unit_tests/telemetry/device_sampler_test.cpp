#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/telemetry/device_sampler.hpp"

namespace verge::telemetry {
namespace {

class DeviceSamplerTest : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(write_file(folder_.path() / name, text)) << name;
  }
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-sampler-"));
};

TEST_F(DeviceSamplerTest, ReadsWhatTheKernelSays) {
  write("proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n");
  write("proc/uptime", "3600.51 7000.00\n");
  write("proc/meminfo", "MemTotal:        2048 kB\nMemFree:          100 kB\nMemAvailable:     512 kB\n");
  write("sys/class/thermal/thermal_zone0/temp", "41500\n");
  write("sys/class/thermal/thermal_zone1/temp", "63250\n");
  write("sys/class/thermal/thermal_zone2/temp", "-999999999\n");  // Such sensors exist.
  write("sys/class/thermal/cooling_device0/temp", "99000\n");
  DeviceSampler sampler(folder_.path(), folder_.path());
  write("proc/stat", "cpu  150 0 200 750 100 0 0 0 0 0\n");
  const auto sample = sampler.take();
  EXPECT_EQ(sample.uptime_s, 3600);
  EXPECT_DOUBLE_EQ(sample.processor_load.value_or(-1), 0.75);
  EXPECT_EQ(sample.memory_available_bytes, 512 * 1024);
  EXPECT_DOUBLE_EQ(sample.temperature_c.value_or(0), 63.25);
  EXPECT_GT(sample.disk_free_bytes.value_or(0), 0);
}

TEST_F(DeviceSamplerTest, WhatIsNotThereIsAbsent) {
  DeviceSampler sampler("/nonexistent", folder_.path());
  const auto sample = sampler.take();
  EXPECT_FALSE(sample.uptime_s);
  EXPECT_FALSE(sample.processor_load);
  EXPECT_FALSE(sample.memory_available_bytes);
  EXPECT_FALSE(sample.disk_free_bytes);
  EXPECT_FALSE(sample.temperature_c);
}

TEST_F(DeviceSamplerTest, ReadsThisMachine) {
  DeviceSampler sampler("/tmp");
  const auto sample = sampler.take();
  EXPECT_GT(sample.uptime_s.value_or(0), 0);
  EXPECT_GT(sample.memory_available_bytes.value_or(0), 0);
  EXPECT_GE(sample.processor_load.value_or(0), 0);
  EXPECT_LE(sample.processor_load.value_or(0), 1);
}

}  // namespace
}  // namespace verge::telemetry
