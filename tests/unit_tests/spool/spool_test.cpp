#include <algorithm>
#include <thread>

#include "spool_fixture.hpp"
#include "verge/base/file.hpp"

namespace verge::spool {
namespace {

using namespace std::chrono_literals;

TEST_F(SpoolTest, GivesInOrderWithNumbersThatGoUp) {
  const auto spool = open();
  put(*spool, 0, 5);
  ASSERT_TRUE(spool->flush());
  put(*spool, 5, 5);
  const auto taken = take_all(*spool);
  EXPECT_EQ(contents(taken), events(0, 10));
  for (std::size_t i = 0; i < taken.size(); ++i) EXPECT_EQ(taken[i].sequence, i + 1);
  EXPECT_EQ(taken[0].time_ms, now_ms_);
  EXPECT_EQ(spool->counts().waiting, 10U);
}

TEST_F(SpoolTest, WhatIsNotMarkedComesAgainWithItsNumber) {
  {
    const auto spool = open();
    put(*spool, 0, 10);
    ASSERT_TRUE(spool->flush());
    const auto taken = take_all(*spool);
    ASSERT_EQ(taken.size(), 10U);
    for (std::size_t i = 0; i < 4; ++i) spool->mark(taken[i].sequence, Outcome::delivered);
    spool->mark(taken[5].sequence, Outcome::delivered);  // Out of order: it does not count before the one in front.
    ASSERT_TRUE(spool->flush());
  }
  const auto again = open();
  const auto taken = take_all(*again);
  EXPECT_EQ(contents(taken), events(4, 6));
  EXPECT_EQ(taken.front().sequence, 5U);
  EXPECT_EQ(again->counts().waiting, 6U);
}

TEST_F(SpoolTest, NumbersAreNeverUsedTwiceAfterACrash) {
  std::uint64_t seen = 0;
  {
    const auto spool = open();
    put(*spool, 0, 1);
    ASSERT_TRUE(spool->flush());
    put(*spool, 1, 3);  // Seen by the receiver, and never written.
    for (const auto& record : take_all(*spool)) seen = std::max(seen, record.sequence);
    EXPECT_EQ(seen, 4U);
  }
  const auto again = open();
  put(*again, 9, 1);
  ASSERT_TRUE(again->flush());
  const auto taken = take_all(*again);
  ASSERT_EQ(taken.size(), 2U);  // The durable one, and the new one.
  EXPECT_GT(taken[1].sequence, seen);
}

TEST_F(SpoolTest, ANumberThatIsNotReservedIsNotShown) {
  const auto spool = open();
  put(*spool, 0, 1);
  EXPECT_TRUE(take_all(*spool).empty());
  ASSERT_TRUE(spool->flush());
  EXPECT_EQ(take_all(*spool).size(), 1U);
}

TEST_F(SpoolTest, WhatIsDeliveredBeforeItIsDueIsNeverWritten) {
  const auto spool = open();
  put(*spool, 0, 1);
  ASSERT_TRUE(spool->flush());
  const auto before = spool->counts();
  for (int i = 1; i < 500; ++i) {
    put(*spool, i, 1);
    for (const auto& record : take_all(*spool)) spool->mark(record.sequence, Outcome::delivered);
  }
  EXPECT_EQ(spool->counts().writes, before.writes);
  EXPECT_EQ(spool->counts().delivered, 500U);
}

TEST_F(SpoolTest, CountsAndNameLastOverRestarts) {
  std::string name;
  {
    const auto spool = open();
    name = spool->stream();
    put(*spool, 0, 6);
    ASSERT_TRUE(spool->flush());
    const auto taken = take_all(*spool);
    spool->mark(taken[0].sequence, Outcome::delivered);
    spool->mark(taken[1].sequence, Outcome::refused);
    ASSERT_TRUE(spool->flush());
  }
  const auto again = open();
  EXPECT_EQ(again->stream(), name);
  EXPECT_EQ(name.size(), 16U);
  EXPECT_EQ(again->counts().stored, 6U);
  EXPECT_EQ(again->counts().delivered, 1U);
  EXPECT_EQ(again->counts().refused, 1U);
  expect_balance(again->counts());
}

TEST_F(SpoolTest, SegmentsThatAreDoneGo) {
  options_.max_bytes = kLeastBytes;
  const auto spool = open();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(spool->put(std::string(4000, 'x')));
    ASSERT_TRUE(spool->flush());
  }
  EXPECT_GT(files().size(), 4U);
  for (const auto& record : take_all(*spool)) spool->mark(record.sequence, Outcome::delivered);
  ASSERT_TRUE(spool->flush());
  EXPECT_LE(files().size(), 1U);
  EXPECT_EQ(spool->counts().delivered, 20U);
}

TEST_F(SpoolTest, AStartThatPutsNothingWritesNothing) {
  {
    const auto spool = open();
    put(*spool, 0, 3);
    ASSERT_TRUE(spool->flush());
  }
  const auto operations = disk_.operations();
  for (int i = 0; i < 5; ++i) {
    const auto spool = open();
    EXPECT_EQ(take_all(*spool).size(), 3U);
    EXPECT_TRUE(spool->flush());
  }
  EXPECT_EQ(disk_.operations(), operations);
}

TEST_F(SpoolTest, ATooLargeRecordIsRefused) {
  const auto spool = open();
  const auto refused = spool->put(std::string(kRecordLimitBytes + 1, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "VRG-SPL-001");
  ASSERT_TRUE(spool->put(std::string(kRecordLimitBytes, 'x')));
  ASSERT_TRUE(spool->flush());
  EXPECT_EQ(take_all(*spool).at(0).content.size(), kRecordLimitBytes);
  EXPECT_EQ(spool->counts().refused, 1U);
}

class SpoolThread : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-spool-"));
  Options options_ = [this] {
    Options options;
    options.folder = folder_.path() / "spool";
    return options;
  }();
};

TEST_F(SpoolThread, WritesByItselfInTime) {
  options_.durable_after = 50ms;
  const auto spool = std::move(*Spool::open(real_file_system(), options_));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(spool->put("event"));
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (spool->counts().disk_bytes == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_GT(spool->counts().disk_bytes, 0U);
  EXPECT_LE(spool->counts().syncs, 4U) << "one sync for many records";
}

TEST_F(SpoolThread, WhatIsDeliveredInTimeIsNotWrittenHoweverMuchThereIs) {
  options_.durable_after = 200ms;
  const auto spool = std::move(*Spool::open(real_file_system(), options_));
  Record before;
  Record record;
  ASSERT_TRUE(spool->put("first"));
  ASSERT_TRUE(spool->take(before, {}, 10s));
  for (int i = 0; i < 100; ++i) {  // One is on its way at any time.
    ASSERT_TRUE(spool->put("event"));
    std::this_thread::sleep_for(10ms);
    ASSERT_TRUE(spool->take(record, {}, 10s));
    spool->mark(before.sequence, Outcome::delivered);
    std::swap(before, record);
  }
  EXPECT_LE(spool->counts().writes, 2U) << "the numbers, and nothing else";
}

TEST_F(SpoolThread, EachRecordIsDurableWhenThatIsAskedFor) {
  options_.durable_after = 0ms;
  const auto spool = std::move(*Spool::open(real_file_system(), options_));
  for (int i = 0; i < 10; ++i) {
    const auto before = spool->counts().writes;
    ASSERT_TRUE(spool->put("event"));
    EXPECT_GT(spool->counts().writes, before);
  }
}

TEST_F(SpoolThread, ManyPutWhileOneTakes) {
  options_.durable_after = 1ms;
  constexpr int kThreads = 4;
  constexpr int kEach = 3000;
  {
    const auto spool = std::move(*Spool::open(real_file_system(), options_));
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&spool, t] {
        for (int i = 0; i < kEach; ++i) {
          if (!spool->put(std::to_string(t) + " " + std::to_string(i))) std::abort();
        }
      });
    }
    std::array<int, kThreads> next{};
    Record record;
    std::uint64_t before = 0;
    for (int i = 0; i < kThreads * kEach; ++i) {
      ASSERT_TRUE(spool->take(record, {}, 10s)) << i;
      ASSERT_GT(record.sequence, before);
      before = record.sequence;
      const auto thread = static_cast<std::size_t>(record.content[0] - '0');
      ASSERT_EQ(record.content.substr(2), std::to_string(next.at(thread)++));
      if (i % 7 == 0) std::this_thread::sleep_for(10us);  // So that some are written first.
      spool->mark(record.sequence, Outcome::delivered);
    }
    EXPECT_EQ(spool->counts().delivered, static_cast<std::uint64_t>(kThreads * kEach));
    EXPECT_EQ(spool->counts().waiting, 0U);
  }
  const auto again = std::move(*Spool::open(real_file_system(), options_));
  EXPECT_EQ(again->counts().waiting, 0U);
  EXPECT_EQ(again->counts().stored, static_cast<std::uint64_t>(kThreads * kEach));
}

TEST_F(SpoolThread, TakingEndsWhenAskedTo) {
  const auto spool = std::move(*Spool::open(real_file_system(), options_));
  Record record;
  EXPECT_FALSE(spool->take(record, {}, 10ms));
  std::jthread taker([&spool](const std::stop_token& stop) {
    Record mine;
    EXPECT_FALSE(spool->take(mine, stop, 60s));
  });
  taker.request_stop();
}

}  // namespace
}  // namespace verge::spool
