#include "spool_fixture.hpp"

namespace verge::spool {
namespace {

using namespace std::chrono_literals;

class BoundsTest : public SpoolTest {
 protected:
  BoundsTest() { options_.max_bytes = kLeastBytes; }
  static void put_large(Spool& spool, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(spool.put(std::to_string(i) + " " + std::string(3000, 'x')));
      if (i % 3 == 0) {
        ASSERT_TRUE(spool.flush());
      }
    }
    ASSERT_TRUE(spool.flush());
  }
  static int number_of(const Record& record) { return std::stoi(record.content); }
  std::uint64_t bytes_on_disk() const {
    std::uint64_t all = 0;
    for (const auto& file : files()) all += disk_.peek(file)->size();
    return all;
  }
};

TEST_F(BoundsTest, TheOldestMakesRoom) {
  const auto spool = open();
  put_large(*spool, 300);
  EXPECT_LE(bytes_on_disk(), options_.max_bytes);
  const auto counts = spool->counts();
  EXPECT_GT(counts.dropped_full, 200U);
  expect_balance(counts);
  const auto taken = take_all(*spool);
  ASSERT_EQ(taken.size(), counts.waiting);
  EXPECT_EQ(number_of(taken.back()), 299);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    EXPECT_EQ(number_of(taken[i]), 300 - static_cast<int>(taken.size() - i));
  }
}

TEST_F(BoundsTest, OrTheNewestIsNotTaken) {
  options_.drop = Drop::newest;
  const auto spool = open();
  put_large(*spool, 300);
  EXPECT_LE(bytes_on_disk(), options_.max_bytes);
  const auto counts = spool->counts();
  EXPECT_GT(counts.dropped_full, 200U);
  expect_balance(counts);
  const auto taken = take_all(*spool);
  ASSERT_EQ(taken.size(), counts.waiting);
  for (std::size_t i = 0; i < taken.size(); ++i) EXPECT_EQ(number_of(taken[i]), static_cast<int>(i));
}

TEST_F(BoundsTest, WithoutAWriterMemoryIsBoundedToo) {
  const auto spool = open();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(spool->put(std::string(3000, 'x')));
  const auto counts = spool->counts();
  EXPECT_LE(counts.waiting * 3000, options_.max_bytes);
  expect_balance(counts);
}

TEST_F(BoundsTest, WhatIsBeingDeliveredWhenItsSegmentGoesIsStillCountedOnce) {
  const auto spool = open();
  put_large(*spool, 10);
  Record first;
  ASSERT_TRUE(spool->take(first, {}, 0ms));
  put_large(*spool, 300);
  expect_balance(spool->counts());
  spool->mark(first.sequence, Outcome::delivered);
  EXPECT_EQ(spool->counts().delivered, 1U);
  expect_balance(spool->counts());
  for (const auto& record : take_all(*spool)) spool->mark(record.sequence, Outcome::delivered);
  EXPECT_EQ(spool->counts().waiting, 0U);
  expect_balance(spool->counts());
}

TEST_F(BoundsTest, DropsAreCountedOverRestarts) {
  Counts before;
  {
    const auto spool = open();
    put_large(*spool, 300);
    before = spool->counts();
  }
  const auto again = open();
  EXPECT_EQ(again->counts().dropped_full, before.dropped_full);
  EXPECT_EQ(again->counts().waiting, before.waiting);
  expect_balance(again->counts());
}

TEST_F(BoundsTest, ManyStartsDoNotFillTheDiskWithSmallFiles) {
  for (int i = 0; i < 200; ++i) {
    const auto spool = open();
    put(*spool, i, 1);
    ASSERT_TRUE(spool->flush());
  }
  EXPECT_LE(files().size(), options_.max_bytes / 4096 + 1);
  expect_balance(open()->counts());
}

TEST_F(BoundsTest, WhatIsTooOldGoes) {
  options_.max_age = 60s;
  const auto spool = open();
  put(*spool, 0, 10);
  ASSERT_TRUE(spool->flush());
  now_ms_ += 59'000;
  put(*spool, 10, 10);
  ASSERT_TRUE(spool->flush());
  now_ms_ += 2000;
  EXPECT_EQ(contents(take_all(*spool)), events(10, 10));
  EXPECT_EQ(spool->counts().dropped_old, 10U);
  expect_balance(spool->counts());
}

TEST_F(BoundsTest, WhatIsTooOldGoesAlsoWhileNobodyTakes) {
  options_.max_age = 60s;
  const auto spool = open();
  put_large(*spool, 30);
  const auto before = files().size();
  now_ms_ += 61'000;
  put(*spool, 0, 1);
  ASSERT_TRUE(spool->flush());
  EXPECT_LT(files().size(), before);
  EXPECT_GT(spool->counts().dropped_old, 20U);
  expect_balance(spool->counts());
  EXPECT_EQ(contents(take_all(*spool)), events(0, 1));
}

TEST_F(BoundsTest, AClockThatGoesBackDropsNothing) {
  options_.max_age = 60s;
  const auto spool = open();
  put(*spool, 0, 3);
  ASSERT_TRUE(spool->flush());
  now_ms_ -= 10'000'000;
  EXPECT_EQ(take_all(*spool).size(), 3U);
}

}  // namespace
}  // namespace verge::spool
