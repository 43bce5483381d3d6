// The workers of a model: lent, waited for, given back.
#include "verge/processing/worker_pool.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "fake_package.hpp"

namespace verge::processing {
namespace {

using namespace std::chrono_literals;
using test::failure;
using ::testing::HasSubstr;

class WorkerPools : public test::WithFakeEngine {
 protected:
  std::unique_ptr<WorkerPool> pool(std::size_t workers, std::size_t max_waiting) {
    LoadOptions options;
    options.max_workers = static_cast<unsigned>(workers);
    const auto model = load(test::numbers(), options);
    EXPECT_TRUE(model);
    auto made = WorkerPool::create(*model, workers, max_waiting);
    EXPECT_TRUE(made);
    return std::move(*made);
  }
};

TEST_F(WorkerPools, AWorkerGoesBackByItself) {
  const auto one = pool(1, 0);
  EXPECT_EQ(one->model().package().metadata.name, "sample");
  for (int i = 0; i < 3; ++i) {
    auto lease = one->acquire(1ms);
    ASSERT_TRUE(lease) << lease.error().text();
    auto moved = std::move(*lease);
    EXPECT_TRUE(moved->predict_values(test::bytes_of<float>({1, 2, 3, 4})));
    EXPECT_EQ(&(*moved).model(), &one->model());
  }
}

TEST_F(WorkerPools, TooManyWaitAlready) {
  const auto one = pool(1, 0);
  const auto lease = one->acquire(1ms);
  ASSERT_TRUE(lease);
  EXPECT_THAT(failure(one->acquire(1ms)),
              HasSubstr("model 'sample' is overloaded: 0 requests wait already; try again later [VRG-MDL-006]"));
}

TEST_F(WorkerPools, WaitingEnds) {
  const auto one = pool(1, 1);
  const auto lease = one->acquire(1ms);
  ASSERT_TRUE(lease);
  EXPECT_THAT(failure(one->acquire(5ms)),
              HasSubstr("had no free worker before the request's deadline; try again later [VRG-MDL-007]"));
  EXPECT_THAT(failure(one->acquire(5ms)), HasSubstr("VRG-MDL-007")) << "the first one no longer counts as waiting";
}

TEST_F(WorkerPools, AWaitingCallerGetsTheWorker) {
  const auto one = pool(1, 1);
  auto lease = std::make_unique<Result<WorkerPool::Lease>>(one->acquire(1ms));
  ASSERT_TRUE(*lease);
  std::atomic<bool> got{false};
  std::jthread waiter([&] { got = one->acquire(30s).has_value(); });
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(got);
  lease.reset();
  waiter.join();
  EXPECT_TRUE(got);
}

TEST_F(WorkerPools, AStopEndsThePatienceOfAPipeline) {
  const auto one = pool(1, 0);
  std::stop_source stop;
  {
    const auto lease = one->acquire(stop.get_token());
    ASSERT_TRUE(lease);
    std::string said;
    std::jthread waiter([&] { said = failure(one->acquire(stop.get_token())); });
    std::this_thread::sleep_for(10ms);
    stop.request_stop();
    waiter.join();
    EXPECT_THAT(said, HasSubstr("VRG-MDL-008"));
  }
  EXPECT_TRUE(one->acquire(1ms));
}

TEST_F(WorkerPools, ManyThreadsShareAFewWorkers) {
  const auto three = pool(3, 64);
  std::atomic<int> right{0};
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        std::stop_source never;
        auto lease = t % 2 == 0 ? three->acquire(30s) : three->acquire(never.get_token());
        if (!lease) continue;
        int now = ++inside;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        const auto value = static_cast<float>(t * 1000 + i);
        const auto predicted = (*lease)->predict_values(test::bytes_of<float>({value, 0, 0, 0}));
        if (predicted && (*lease)->last_outputs()[0].as<float>()[0] == value) ++right;
        --inside;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(right, 400);
  EXPECT_LE(most, 3);
}

TEST_F(WorkerPools, AWorkerThatCannotBeMadeIsAnError) {
  test::FakePackage package = test::numbers();
  const auto model = load(package);
  ASSERT_TRUE(model);
  EXPECT_TRUE(WorkerPool::create(*model, 0, 0));
}

}  // namespace
}  // namespace verge::processing
