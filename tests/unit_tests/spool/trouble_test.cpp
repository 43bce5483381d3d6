#include <cerrno>

#include "spool_fixture.hpp"

namespace verge::spool {
namespace {

using simulator::Call;

class TroubleTest : public SpoolTest {
 protected:
  void fail(Call which, int number) {
    disk_.before_call = [which, number](Call call, const std::string&) { return call == which ? number : 0; };
  }
  void heal() { disk_.before_call = nullptr; }
};

TEST_F(TroubleTest, AFullDiskIsToldOnceAndGoneOnWithInMemory) {
  const auto spool = open();
  fail(Call::write, ENOSPC);
  put(*spool, 0, 5);
  EXPECT_FALSE(spool->flush());
  EXPECT_FALSE(spool->flush());
  ASSERT_EQ(troubles_, (std::vector<std::string>{"VRG-BAS-002"}));
  EXPECT_TRUE(spool->counts().disk_trouble);
  const auto taken = take_all(*spool);  // Delivered all the same.
  EXPECT_EQ(contents(taken), events(0, 5));
  put(*spool, 5, 5);
  heal();
  ASSERT_TRUE(spool->flush());
  EXPECT_EQ(troubles_, (std::vector<std::string>{"VRG-BAS-002", ""}));
  for (const auto& record : taken) spool->mark(record.sequence, Outcome::delivered);
  EXPECT_EQ(contents(take_all(*spool)), events(5, 5));
  ASSERT_TRUE(spool->flush());
  expect_balance(spool->counts());
}

TEST_F(TroubleTest, ADiskThatIsFullAtTheFirstStartKeepsNobodyFromIt) {
  fail(Call::make_folder, ENOSPC);
  const auto spool = open();
  put(*spool, 0, 5);
  EXPECT_FALSE(spool->flush());
  EXPECT_EQ(troubles_, (std::vector<std::string>{"VRG-BAS-002"}));
  heal();
  ASSERT_TRUE(spool->flush());
  EXPECT_EQ(troubles_, (std::vector<std::string>{"VRG-BAS-002", ""}));
  put(*spool, 5, 1);
  ASSERT_TRUE(spool->flush());
  disk_.lose_power({});
  const auto again = open();
  EXPECT_EQ(contents(take_all(*again)), events(0, 6));
}

TEST_F(TroubleTest, AFolderThatMayNotBeMadeIsAnError) {
  fail(Call::make_folder, EACCES);
  EXPECT_EQ(Spool::open(disk_, options_).error().code(), ErrorCode::permission_denied);
}

TEST_F(TroubleTest, MemoryIsBoundedWhileTheDiskIsFull) {
  options_.max_bytes = kLeastBytes;
  const auto spool = open();
  fail(Call::create, ENOSPC);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(spool->put(std::to_string(i) + " " + std::string(1000, 'x')));
    if (i % 50 == 0) {
      EXPECT_FALSE(spool->flush());
    }
  }
  EXPECT_LE(spool->counts().waiting * 1000, options_.max_bytes);
  expect_balance(spool->counts());
  heal();
  ASSERT_TRUE(spool->flush());
  const auto taken = take_all(*spool);
  ASSERT_EQ(taken.size(), spool->counts().waiting);
  EXPECT_EQ(std::stoi(taken.back().content), 999);
}

TEST_F(TroubleTest, ASyncThatFailedIsNotBelieved) {
  {
    const auto spool = open();
    put(*spool, 0, 3);
    ASSERT_TRUE(spool->flush());
    fail(Call::sync, EIO);
    put(*spool, 3, 3);
    EXPECT_FALSE(spool->flush());
    heal();
    ASSERT_TRUE(spool->flush());
    expect_balance(spool->counts());
  }
  disk_.lose_power({});
  const auto again = open();
  EXPECT_EQ(contents(take_all(*again)), events(0, 6));
}

TEST_F(TroubleTest, WhatAFailedSyncHasLeftDoesNotComeTwice) {
  {
    const auto spool = open();
    put(*spool, 0, 3);
    ASSERT_TRUE(spool->flush());
    fail(Call::sync, EIO);
    put(*spool, 3, 3);
    EXPECT_FALSE(spool->flush());
    heal();
    put(*spool, 6, 1);
    ASSERT_TRUE(spool->flush());
  }
  const auto again = open();
  EXPECT_EQ(again->counts().waiting, 7U);
  EXPECT_EQ(contents(take_all(*again)), events(0, 7));
}

TEST_F(TroubleTest, DamageInTheMiddleIsPassedOverAndCounted) {
  for (const bool of_the_head : {true, false}) {
    disk_ = simulator::ModelledDisk();
    {
      const auto spool = open();
      for (int i = 0; i < 6; ++i) {
        put(*spool, 100 + 10 * i, 10);  // All blocks are of one size.
        ASSERT_TRUE(spool->flush());
      }
    }
    const auto file = files().at(0);
    const auto block = disk_.peek(file)->size() / 6;
    // Within the third block: its head, or what is in it.
    disk_.flip_bit(file, 2 * block + (of_the_head ? 20 : block / 2));
    const auto again = open();
    auto expected = events(100, 20);
    for (const auto& one : events(130, 30)) expected.push_back(one);
    EXPECT_EQ(contents(take_all(*again)), expected) << of_the_head;
    EXPECT_EQ(again->counts().damaged, of_the_head ? 1U : 10U);
    EXPECT_EQ(again->counts().waiting, 50U);
  }
}

TEST_F(TroubleTest, ATornEndIsNoDamage) {
  {
    const auto spool = open();
    put(*spool, 0, 10);
    ASSERT_TRUE(spool->flush());
    const auto whole = disk_.peek(files().at(0))->size();
    put(*spool, 10, 10);
    ASSERT_TRUE(spool->flush());
    const auto file = disk_.open_to_append(files().at(0));
    ASSERT_TRUE(file);
    ASSERT_TRUE(disk_.truncate(*file, whole + 70));
    disk_.close(*file);
  }
  const auto again = open();
  EXPECT_EQ(contents(take_all(*again)), events(0, 10));
  EXPECT_EQ(again->counts().damaged, 0U);
}

TEST_F(TroubleTest, AFolderOfRubbishStartsAnew) {
  ASSERT_TRUE(disk_.make_folder("/spool"));
  for (const auto* name : {"0000000000000001.segment", "0000000000000002.segment", "x.segment", "notes.txt"}) {
    const auto file = disk_.create(std::string("/spool/") + name);
    ASSERT_TRUE(file);
    const std::string rubbish = "VSB1VSB1VSB1" + std::string(5000, '\xA5');
    ASSERT_TRUE(disk_.write(*file, std::as_bytes(std::span(rubbish))));
    disk_.close(*file);
  }
  const auto spool = open();
  put(*spool, 0, 3);
  ASSERT_TRUE(spool->flush());
  EXPECT_EQ(contents(take_all(*spool)), events(0, 3));
}

}  // namespace
}  // namespace verge::spool
