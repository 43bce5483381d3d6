// Where spools lie, whose they are, and when they go.
#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "spools.hpp"
#include "verge/base/file.hpp"

namespace verge::agent {
namespace {

using namespace std::chrono_literals;

class SpoolsTest : public ::testing::Test {
 protected:
  std::shared_ptr<spool::Spool> open(Spools& spools, std::string_view pipeline, const std::string& receiver) {
    auto spool = spools.open({}, pipeline, "webhook", receiver);
    EXPECT_TRUE(spool) << spool.error().text();
    return spool ? std::move(*spool) : nullptr;
  }
  void fill(Spools& spools, std::string_view pipeline, const std::string& receiver, int count) {
    const auto spool = open(spools, pipeline, receiver);
    for (int i = 0; i < count; ++i) ASSERT_TRUE(spool->put("{}"));
    ASSERT_TRUE(spool->flush());
  }
  std::vector<std::filesystem::path> segments() const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(spools_folder(folder_.path()))) {
      if (entry.is_regular_file()) found.push_back(entry.path());
    }
    return found;
  }
  Log log_{LogLevel::error};
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-spools-"));
};

TEST_F(SpoolsTest, EachPipelineAndReceiverHasItsOwn) {
  Spools spools(log_, folder_.path(), nullptr);
  fill(spools, "a", "https://one", 1);
  fill(spools, "a", "https://two", 2);
  fill(spools, "b", "https://one", 3);
  EXPECT_EQ(open(spools, "a", "https://one")->counts().waiting, 1U);
  EXPECT_EQ(open(spools, "a", "https://two")->counts().waiting, 2U);
  EXPECT_EQ(open(spools, "b", "https://one")->counts().waiting, 3U);
  EXPECT_EQ(open(spools, "b", "https://two")->counts().waiting, 0U);
}

TEST_F(SpoolsTest, OneIsOpenOnceAndWaitedFor) {
  Spools spools(log_, folder_.path(), nullptr);
  auto first = open(spools, "a", "https://one");
  std::jthread later([&first] {
    std::this_thread::sleep_for(200ms);
    first.reset();
  });
  const auto start = std::chrono::steady_clock::now();
  const auto second = open(spools, "a", "https://one");
  EXPECT_GE(std::chrono::steady_clock::now() - start, 150ms);
}

TEST_F(SpoolsTest, WhatHasNoSinkIsKeptForAWhile) {
  Spools spools(log_, folder_.path(), nullptr);
  fill(spools, "old", "https://one", 5);
  fill(spools, "used", "https://one", 5);
  fill(spools, "young", "https://one", 5);
  const auto used = open(spools, "used", "https://one");
  const auto eight_days_ago = std::filesystem::file_time_type::clock::now() - 8 * 24h;
  for (const auto& file : segments()) {
    if (file.string().find("young") == std::string::npos) std::filesystem::last_write_time(file, eight_days_ago);
  }
  spools.remove_orphans();
  EXPECT_EQ(used->counts().waiting, 5U);
  EXPECT_EQ(open(spools, "young", "https://one")->counts().waiting, 5U);
  const auto left = segments();
  EXPECT_TRUE(
      std::ranges::none_of(left, [](const auto& file) { return file.string().find("old") != std::string::npos; }));
  EXPECT_EQ(left.size(), 2U);
}

}  // namespace
}  // namespace verge::agent
