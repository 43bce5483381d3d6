// In steady state a call of a custom step allocates nothing in the agent.
#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/data_processing/custom_steps.hpp"
#include "verge/process/sandbox.hpp"
#include "verge/test_support/allocation_counter.hpp"

namespace verge::data_processing {
namespace {

TEST(CustomStepAllocations, AreNoneOnceItHasGrown) {
  if (const auto missing = process::sandbox_lacks(); !missing.empty()) {
    GTEST_SKIP() << "this system has no sandbox for custom steps: it lacks " << missing;
  }
  auto folder = TemporaryFolder::create("verge-steps-");
  ASSERT_TRUE(folder);
  ASSERT_TRUE(write_file(folder->path() / "steps/script.py", std::string_view(R"(
def preprocess(raw): return raw
def postprocess(outputs, sample):
    return {'kind': 'classes', 'classes': [{'label': 'a label that is longer than a short string', 'score': 0.5}] * 3}
)")));
  StepOrder order;
  order.package = folder->path();
  order.inputs = order.outputs = {{"x", processing::DataType::uint8, {64}, {}}};
  order.preprocess.emplace();
  order.preprocess->file = "steps/script.py";
  order.preprocess->function = "preprocess";
  order.postprocess = order.preprocess;
  order.postprocess->function = "postprocess";
  auto steps = CustomSteps::create(order, {});
  ASSERT_TRUE(steps) << steps.error().text();
  auto worker = StepWorker::start(*steps, true);
  ASSERT_TRUE(worker) << worker.error().text();
  processing::Prediction prediction;
  const std::array<std::byte, 64> raw{};
  const auto call = [&] {
    const auto made = worker->preprocess(raw);
    return made && worker->postprocess(*made, {}, prediction);
  };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(call());
  const test::AllocationCounter allocations;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(call());
  EXPECT_EQ(allocations.count(), 0);
}

}  // namespace
}  // namespace verge::data_processing
