// What Prometheus scrapes, and what the device says of itself.
#include "verge/telemetry/metrics.hpp"

#include <map>
#include <thread>

#include <gmock/gmock.h>

namespace verge::telemetry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

DeviceInfo device() {
  return {"box", "Debian \"12\"", "6.1", "x86_64", "A processor", 4, 1U << 30U};
}

TEST(Metrics, TheTextSaysWhoItIs) {
  Metrics metrics(device(), "1.2.3");
  const auto text = metrics.text();
  EXPECT_THAT(text, HasSubstr("# TYPE verge_device_info gauge"));
  EXPECT_THAT(text, HasSubstr("agent_version=\"1.2.3\""));
  EXPECT_THAT(text, HasSubstr("host_name=\"box\""));
  EXPECT_THAT(text, HasSubstr("operating_system=\"Debian \\\"12\\\"\""));
  EXPECT_THAT(text, HasSubstr("process_resident_memory_bytes "));
  EXPECT_TRUE(text.ends_with('\n'));
}

TEST(Metrics, StagesThatRanAreCounted) {
  Metrics metrics(device(), "1");
  const auto model = metrics.model("m", "1.0.0", "fake");
  model->observe({.decode_ns = 0, .preprocess_ns = 1'000'000, .infer_ns = 3'000'000, .postprocess_ns = 40'000});
  model->observe({.decode_ns = 0, .preprocess_ns = 1'000'000, .infer_ns = 30'000'000, .postprocess_ns = 40'000});
  const auto text = metrics.text();
  const std::string labels = "{engine=\"fake\",model=\"m\",stage=\"";
  EXPECT_THAT(text, HasSubstr("verge_stage_duration_seconds_count" + labels + "infer\",version=\"1.0.0\"} 2"));
  EXPECT_THAT(text, HasSubstr("verge_stage_duration_seconds_count" + labels + "decode\",version=\"1.0.0\"} 0"));
  EXPECT_THAT(text, HasSubstr("verge_stage_duration_seconds_sum" + labels + "infer\",version=\"1.0.0\"} 0.033"));
  EXPECT_THAT(text, HasSubstr("version=\"1.0.0\",le=\"0.005\"} 1"));
}

TEST(Metrics, RequestsByResult) {
  Metrics metrics(device(), "1");
  const auto model = metrics.model("m", "1.0.0", "fake");
  model->count_request("ok");
  model->count_request("ok");
  model->count_request("refused");
  const auto text = metrics.text();
  EXPECT_THAT(text, HasSubstr("verge_requests_total{code=\"ok\",engine=\"fake\",model=\"m\",version=\"1.0.0\"} 2"));
  EXPECT_THAT(text,
              HasSubstr("verge_requests_total{code=\"refused\",engine=\"fake\",model=\"m\",version=\"1.0.0\"} 1"));
}

TEST(Metrics, PipelinesByResult) {
  Metrics metrics(device(), "1");
  const auto pipeline = metrics.pipeline("inbox");
  pipeline->set_samples({.predicted = 1, .failed = 1, .dropped = 3});
  pipeline->set_samples({.predicted = 2, .failed = 1, .unwritten = 4, .dropped = 7, .limited = 5});
  pipeline->set_reconnects(2);
  pipeline->set_deliveries(1, "webhook", 3, 0);
  pipeline->set_deliveries(1, "webhook", 8, 6);
  pipeline->observe_age(std::chrono::milliseconds(3));
  metrics.pipeline("inbox")->set_samples({.predicted = 10});  // Started again: it goes on.
  const auto text = metrics.text();
  for (const auto& [result, count] :
       std::map<std::string, int>{{"predicted", 12}, {"failed", 1}, {"unwritten", 4}, {"dropped", 7}, {"limited", 5}}) {
    EXPECT_THAT(text, HasSubstr("verge_pipeline_samples_total{pipeline=\"inbox\",result=\"" + result + "\"} " +
                                std::to_string(count)));
  }
  EXPECT_THAT(text, HasSubstr("verge_pipeline_reconnects_total{pipeline=\"inbox\"} 2"));
  EXPECT_THAT(text, HasSubstr("verge_pipeline_age_seconds_count{pipeline=\"inbox\"} 1"));
  const std::string events = "verge_pipeline_events_total{kind=\"webhook\",pipeline=\"inbox\",result=";
  EXPECT_THAT(text, HasSubstr(events + "\"delivered\",sink=\"1\"} 8"));
  EXPECT_THAT(text, HasSubstr(events + "\"dropped\",sink=\"1\"} 6"));
}

TEST(Metrics, TheSameModelAgainGoesOn) {
  Metrics metrics(device(), "1");
  metrics.model("m", "1.0.0", "fake")->count_request("ok");
  metrics.model("m", "1.0.0", "fake")->count_request("ok");
  EXPECT_THAT(metrics.text(), HasSubstr("version=\"1.0.0\"} 2"));
}

TEST(Metrics, ManyThreads) {
  Metrics metrics(device(), "1");
  const auto model = metrics.model("m", "1.0.0", "fake");
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        model->observe({.infer_ns = 1000});
        model->count_request("ok");
        if (i % 20 == 0) static_cast<void>(metrics.text());
      }
    });
  }
  threads.clear();
  EXPECT_THAT(metrics.text(), HasSubstr("code=\"ok\",engine=\"fake\",model=\"m\",version=\"1.0.0\"} 400"));
}

TEST(Devices, ThisOne) {
  const auto info = read_device_info();
  EXPECT_FALSE(info.host_name.empty());
  EXPECT_FALSE(info.kernel.empty());
  EXPECT_FALSE(info.architecture.empty());
  EXPECT_FALSE(info.operating_system.empty());
  EXPECT_THAT(info.operating_system, Not(HasSubstr("\"")));
  EXPECT_GE(info.cores, 1U);
  EXPECT_GT(info.memory_bytes, std::uint64_t{1} << 26U);
  EXPECT_GT(resident_bytes(), std::uint64_t{1} << 20U);
}

}  // namespace
}  // namespace verge::telemetry
