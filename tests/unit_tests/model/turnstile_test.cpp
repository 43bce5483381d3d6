// Turnstiles: who goes first, who is turned away, and that nothing is lost on the way.
#include "verge/processing/turnstile.hpp"

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

namespace verge::processing {
namespace {

using namespace std::chrono_literals;
using Entry = Turnstile::Entry;
using ::testing::ElementsAre;

Urgency within(std::chrono::milliseconds patience, int priority = 0) {
  return {std::chrono::steady_clock::now() + patience, priority};
}

/// Waiters that enter a turnstile that is taken, one after the other, and note the order in which they get in.
class Line {
 public:
  explicit Line(Turnstile& turnstile) : turnstile_(turnstile) {}
  void add(const std::string& name, unsigned amount, const Urgency& urgency) {
    const auto before = turnstile_.waiting();
    threads_.emplace_back([this, name, amount, urgency] {
      if (turnstile_.enter(amount, urgency) != Entry::entered) return;
      {
        const std::lock_guard lock(mutex_);
        order_.push_back(name);
      }
      turnstile_.leave(amount);
    });
    while (turnstile_.waiting() == before) std::this_thread::yield();
  }
  std::vector<std::string> order() {
    threads_.clear();
    return order_;
  }

 private:
  Turnstile& turnstile_;
  std::mutex mutex_;
  std::vector<std::string> order_;
  std::vector<std::jthread> threads_;
};

TEST(Turnstiles, GoByPriorityThenDeadlineThenArrival) {
  Turnstile one(1, 10);
  ASSERT_EQ(one.enter(1, {}), Entry::entered);
  Line line(one);
  line.add("late", 1, within(60s));
  line.add("soon", 1, within(30s));
  const auto deadline = within(45s);
  line.add("first", 1, deadline);
  line.add("second", 1, deadline);
  line.add("important", 1, within(90s, 1));
  one.leave(1);
  EXPECT_THAT(line.order(), ElementsAre("important", "soon", "first", "second", "late"));
}

TEST(Turnstiles, NobodyOvertakesOneThatNeedsMuch) {
  Turnstile two(2, 10);
  ASSERT_EQ(two.enter(1, {}), Entry::entered);
  Line line(two);
  line.add("wide", 2, within(30s));
  line.add("narrow", 1, within(60s));
  EXPECT_EQ(two.waiting(), 2U) << "one unit is free, and kept for the wide one";
  two.leave(1);
  EXPECT_THAT(line.order(), ElementsAre("wide", "narrow"));
}

TEST(Turnstiles, MoreThanThereIsMeansAll) {
  Turnstile two(2, 0);
  EXPECT_EQ(two.enter(8, {}), Entry::entered);
  EXPECT_EQ(two.enter(1, within(0ms)), Entry::full);
  two.leave(8);
  EXPECT_EQ(two.enter(1, {}), Entry::entered);
  EXPECT_EQ(two.enter(1, {}), Entry::entered);
}

TEST(Turnstiles, TurnAwayWhoCannotWait) {
  Turnstile one(1, 1);
  ASSERT_EQ(one.enter(1, {}), Entry::entered);
  EXPECT_EQ(one.enter(1, within(5ms)), Entry::late);
  std::jthread waiter([&] {
    EXPECT_EQ(one.enter(1, within(30s)), Entry::entered);
    one.leave(1);
  });
  while (one.waiting() == 0) std::this_thread::yield();
  EXPECT_EQ(one.enter(1, within(30s)), Entry::full);
  one.leave(1);
}

TEST(Turnstiles, WhoGivesUpLetsOthersBy) {
  Turnstile two(2, 10);
  ASSERT_EQ(two.enter(1, {}), Entry::entered);
  std::jthread wide([&] { EXPECT_EQ(two.enter(2, within(50ms)), Entry::late); });
  while (two.waiting() == 0) std::this_thread::yield();
  EXPECT_EQ(two.enter(1, within(30s)), Entry::entered) << "as soon as the wide one has gone";
}

TEST(Turnstiles, AStopEndsAWaitWithoutADeadline) {
  Turnstile one(1, 0);
  ASSERT_EQ(one.enter(1, {}), Entry::entered);
  std::stop_source stop;
  std::jthread waiter([&] { EXPECT_EQ(one.enter(1, within(0ms), stop.get_token()), Entry::stopped); });
  while (one.waiting() == 0) std::this_thread::yield();
  stop.request_stop();
  waiter.join();
  EXPECT_EQ(one.waiting(), 0U);
  EXPECT_EQ(one.enter(1, {}, stop.get_token()), Entry::stopped);
  one.leave(1);
  EXPECT_EQ(one.enter(1, {}), Entry::entered) << "nothing was lost";
}

TEST(Turnstiles, HoldUnderManyThreads) {
  Turnstile three(3, 1000);
  std::atomic<int> inside{0};
  std::atomic<int> wrong{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::stop_source never;
      const auto amount = static_cast<unsigned>(t % 3 + 1);
      for (int i = 0; i < 300; ++i) {
        const auto entry = t % 2 == 0 ? three.enter(amount, within(std::chrono::milliseconds(i % 3), t % 4))
                                      : three.enter(amount, within(30s), never.get_token());
        if (entry != Entry::entered) continue;
        if (inside.fetch_add(static_cast<int>(amount)) + static_cast<int>(amount) > 3) ++wrong;
        inside.fetch_sub(static_cast<int>(amount));
        three.leave(amount);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(three.enter(3, within(0ms)), Entry::entered) << "all came back";
}

}  // namespace
}  // namespace verge::processing
