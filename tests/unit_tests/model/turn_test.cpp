// Turns: requests alone and in batches.
#include "verge/processing/turn.hpp"

#include <array>
#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "fake_package.hpp"

namespace verge::processing {
namespace {

using namespace std::chrono_literals;
using test::failure;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Turns : public test::WithFakeEngine {
 protected:
  static test::FakePackage rows(int delay_ms = 0) {
    test::FakePackage package;
    package.inputs = R"([{"name": "x", "datatype": "FP32", "shape": [-1, 2]}])";
    package.outputs = R"([{"name": "y", "datatype": "FP32", "shape": [-1, 2]}])";
    package.model = "input x FP32 [-1,2]\noutput y FP32 [-1,2]\nfunction identity\n";
    if (delay_ms > 0) package.model += "delay_ms " + std::to_string(delay_ms) + "\n";
    return package;
  }
  std::unique_ptr<WorkerPool> pool(const test::FakePackage& package, const PoolOptions& options) {
    const auto model = load(package);
    EXPECT_TRUE(model) << failure(model);
    auto made = WorkerPool::create(*model, options);
    EXPECT_TRUE(made);
    return std::move(*made);
  }
  static Urgency patient() { return {std::chrono::steady_clock::now() + 30s, 0}; }

  /// One request of so many rows, each with `value` and its number.
  static void write(Turn& turn, std::int64_t count, float value) {
    const std::array<std::int64_t, 2> shape{count, 2};
    const auto tensor = turn.input(0, shape);
    ASSERT_TRUE(tensor) << failure(tensor);
    ASSERT_EQ(tensor->size_bytes, static_cast<std::size_t>(count) * 8);
    for (std::int64_t row = 0; row < count; ++row) {
      tensor->as<float>()[static_cast<std::size_t>(row) * 2] = value;
      tensor->as<float>()[static_cast<std::size_t>(row) * 2 + 1] = static_cast<float>(row);
    }
  }
  static void read(Turn& turn, std::int64_t count, float value) {
    const auto outputs = turn.infer();
    ASSERT_TRUE(outputs) << failure(outputs);
    const TensorView& output = (*outputs)[0];
    ASSERT_THAT(output.shape, ElementsAre(count, 2));
    for (std::int64_t row = 0; row < count; ++row) {
      EXPECT_EQ(output.as<float>()[static_cast<std::size_t>(row) * 2], value);
      EXPECT_EQ(output.as<float>()[static_cast<std::size_t>(row) * 2 + 1], static_cast<float>(row));
    }
  }
};

TEST_F(Turns, RunAloneWithoutBatching) {
  const auto one = pool(rows(), {});
  EXPECT_EQ(one->batches(), nullptr);
  {
    Turn turn(*one, patient());
    write(turn, 3, 7);
    read(turn, 3, 7);
    EXPECT_EQ(turn.times().batch_rows, 0);
    EXPECT_GT(turn.times().infer_ns, 0);
  }
  EXPECT_TRUE(one->acquire(0ms)) << "it has gone back";
}

TEST_F(Turns, TakeNoPlaceBeforeTheFirstInput) {
  const auto one = pool(rows(), {});
  const Turn idle(*one, patient());
  EXPECT_TRUE(one->acquire(0ms));
}

TEST_F(Turns, ThreadsGoBackWhileTheOutputsAreRead) {
  const auto budget = std::make_shared<Turnstile>(2, 10);
  PoolOptions options;
  options.thread_budget = budget;
  options.threads_per_run = 2;
  const auto first = pool(rows(), options);
  const auto second = pool(rows(), options);
  Turn turn(*first, patient());
  write(turn, 1, 1);
  EXPECT_THAT(failure(second->acquire(5ms)), HasSubstr("VRG-MDL-007")) << "another model has the threads";
  read(turn, 1, 1);
  EXPECT_TRUE(second->acquire(5ms));
}

TEST_F(Turns, OnesThatComeWhileTheWorkerIsBusyRunTogether) {
  PoolOptions options;
  options.batching.max_rows = 8;
  options.max_waiting = 32;
  const auto batching = pool(rows(100), options);
  ASSERT_NE(batching->batches(), nullptr);
  std::atomic<std::int64_t> most{0};
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        Turn turn(*batching, patient());
        const std::int64_t count = i % 2 + 1;
        write(turn, count, static_cast<float>(i));
        read(turn, count, static_cast<float>(i));
        for (auto seen = most.load();
             turn.times().batch_rows > seen && !most.compare_exchange_weak(seen, turn.times().batch_rows);) {
        }
      });
    }
  }
  EXPECT_GT(most, 2) << "rows that ran together";
  EXPECT_LE(most, 8);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 700ms) << "eight runs, one after the other, take 800 ms";
}

TEST_F(Turns, ADelayBringsCompany) {
  PoolOptions options;
  options.batching = {2, 10s};
  const auto batching = pool(rows(), options);
  const auto start = std::chrono::steady_clock::now();
  {
    std::jthread other([&] {
      Turn turn(*batching, patient());
      write(turn, 1, 1);
      read(turn, 1, 1);
      EXPECT_EQ(turn.times().batch_rows, 2);
    });
    Turn turn(*batching, patient());
    write(turn, 1, 2);
    read(turn, 1, 2);
    EXPECT_EQ(turn.times().batch_rows, 2);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s) << "a full batch does not wait";
}

TEST_F(Turns, OneWhoGivesUpDoesNotHoldTheOthers) {
  PoolOptions options;
  options.batching = {2, 10s};
  const auto batching = pool(rows(), options);
  auto leader = std::make_unique<Turn>(*batching, patient());
  write(*leader, 1, 1);
  std::atomic<bool> joined{false};
  std::jthread other([&] {
    Turn turn(*batching, patient());
    write(turn, 1, 2);
    joined = true;
    read(turn, 1, 2);
  });
  while (!joined) std::this_thread::yield();
  leader.reset();  // Runs what the other one waits for.
}

TEST_F(Turns, FailuresReachEveryMember) {
  auto package = rows();
  package.model = "input x FP32 [-1,2]\noutput y FP32 [-1,2]\nfunction fail by design\n";
  PoolOptions options;
  options.batching = {2, 10s};
  const auto batching = pool(package, options);
  const auto fails = [&] {
    Turn turn(*batching, patient());
    write(turn, 1, 1);
    EXPECT_THAT(failure(turn.infer()), HasSubstr("by design"));
  };
  {
    std::jthread other(fails);
    fails();
  }
  EXPECT_TRUE(batching->acquire(0ms));
}

TEST_F(Turns, RefuseWhatDoesNotFitWithoutTakingAPlace) {
  PoolOptions options;
  options.batching.max_rows = 4;
  const auto batching = pool(rows(), options);
  Turn turn(*batching, patient());
  EXPECT_THAT(failure(turn.input(0, std::array<std::int64_t, 2>{1, 3})), HasSubstr("expected input 'x' as"));
  EXPECT_THAT(failure(turn.input(0, std::array<std::int64_t, 2>{0, 2})), HasSubstr("VRG-MDL-005"));
  write(turn, 9, 1);
  read(turn, 9, 1);
  EXPECT_EQ(turn.times().batch_rows, 0) << "larger than a batch: it runs alone";
}

TEST_F(Turns, BatchingIsOffWhereRowsAreFixed) {
  PoolOptions options;
  options.batching.max_rows = 8;
  EXPECT_EQ(pool(test::numbers(), options)->batches(), nullptr);
}

}  // namespace
}  // namespace verge::processing
