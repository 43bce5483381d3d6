#include "spool_fixture.hpp"
#include "verge/at_rest/encrypted_file.hpp"

namespace verge::spool {
namespace {

at_rest::DataKeys::Key new_key() {
  return std::make_shared<const at_rest::Secret>(at_rest::Secret::random());
}

class EncryptedTest : public SpoolTest {
 protected:
  EncryptedTest() { keys_.add({std::byte{1}}, new_key()); }
  bool has_plain() const {
    for (const auto& file : files()) {
      if (disk_.peek(file)->find("event") != std::string::npos) return true;
    }
    return false;
  }
  void fill(int first, int count) {
    const auto spool = open();
    put(*spool, first, count);
    ASSERT_TRUE(spool->flush());
  }
  at_rest::DataKeys keys_;
};

TEST_F(EncryptedTest, NothingIsInPlain) {
  options_.keys = &keys_;
  fill(0, 50);
  EXPECT_FALSE(has_plain());
  EXPECT_EQ(contents(take_all(*open())), events(0, 50));
}

TEST_F(EncryptedTest, SwitchedOnAndOffNothingIsLost) {
  fill(0, 5);
  EXPECT_TRUE(has_plain());
  ASSERT_TRUE(reseal(disk_, "/", keys_, &keys_));
  EXPECT_FALSE(has_plain());
  options_.keys = &keys_;
  fill(5, 5);
  ASSERT_TRUE(reseal(disk_, "/", keys_, nullptr));
  options_.keys = nullptr;
  const auto spool = open();
  EXPECT_EQ(contents(take_all(*spool)), events(0, 10));
  EXPECT_EQ(spool->counts().damaged, 0U);
}

TEST_F(EncryptedTest, AnOldKeyIsNeededUntilNothingHasIt) {
  options_.keys = &keys_;
  fill(0, 5);
  EXPECT_FALSE(*has_old(disk_, "/", keys_));
  keys_.add({std::byte{2}}, new_key());
  EXPECT_TRUE(*has_old(disk_, "/", keys_));
  ASSERT_TRUE(reseal(disk_, "/", keys_, &keys_));
  EXPECT_FALSE(*has_old(disk_, "/", keys_));
  keys_.keep_only({std::byte{2}});
  EXPECT_EQ(contents(take_all(*open())), events(0, 5));
}

TEST_F(EncryptedTest, ARunningSpoolTakesTheNewKeyAndLetsTheOldOneGo) {
  options_.keys = &keys_;
  const auto spool = open();
  put(*spool, 0, 5);
  ASSERT_TRUE(spool->flush());
  keys_.add({std::byte{2}}, new_key());
  put(*spool, 5, 5);
  ASSERT_TRUE(spool->flush());
  EXPECT_EQ(files().size(), 2U);
  EXPECT_TRUE(*has_old(disk_, "/", keys_));
  const auto taken = take_all(*spool);
  EXPECT_EQ(contents(taken), events(0, 10));
  for (std::size_t i = 0; i < 5; ++i) spool->mark(taken[i].sequence, Outcome::delivered);
  ASSERT_TRUE(spool->flush());
  ASSERT_TRUE(spool->flush());
  EXPECT_FALSE(*has_old(disk_, "/", keys_));
}

TEST_F(EncryptedTest, WithoutItsKeyItIsDamagedAndCounted) {
  options_.keys = &keys_;
  fill(0, 5);
  at_rest::DataKeys others;
  others.add({std::byte{3}}, new_key());
  options_.keys = &others;
  const auto spool = open();
  EXPECT_TRUE(take_all(*spool).empty());
  EXPECT_EQ(spool->counts().damaged, 5U);
  EXPECT_EQ(spool->counts().waiting, 0U);
  put(*spool, 0, 1);
  ASSERT_TRUE(spool->flush());
  EXPECT_EQ(contents(take_all(*spool)), events(0, 1));
}

TEST_F(EncryptedTest, RemovedWithItsFolder) {
  fill(0, 5);
  ASSERT_EQ(*folders_below(disk_, "/"), (std::vector<std::string>{"//spool"}));
  ASSERT_TRUE(remove(disk_, "/spool"));
  EXPECT_TRUE(files().empty());
  EXPECT_FALSE(disk_.status("/spool"));
}

}  // namespace
}  // namespace verge::spool
