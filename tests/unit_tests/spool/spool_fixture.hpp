// A spool on a modelled disk, where nothing happens by itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "modelled_disk.hpp"
#include "verge/spool/spool.hpp"
#include "verge/spool/stored.hpp"

namespace verge::spool {

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() {
    options_.folder = "/spool";
    options_.background = false;
    options_.now_ms = [this] { return now_ms_; };
    options_.on_trouble = [this](const Error* error) {
      troubles_.push_back(error == nullptr ? "" : std::string(error->id()));
    };
  }
  std::unique_ptr<Spool> open() {
    auto spool = Spool::open(disk_, options_);
    EXPECT_TRUE(spool) << spool.error().text();
    return std::move(*spool);
  }
  static void put(Spool& spool, int first, int count) {
    for (int i = first; i < first + count; ++i) ASSERT_TRUE(spool.put("event " + std::to_string(i)));
  }
  /// What is there to take, without saying that it is done.
  static std::vector<Record> take_all(Spool& spool) {
    std::vector<Record> taken;
    Record record;
    while (spool.take(record, {}, std::chrono::milliseconds(0))) taken.push_back(record);
    return taken;
  }
  static std::vector<std::string> contents(const std::vector<Record>& records) {
    std::vector<std::string> all;
    for (const auto& one : records) all.push_back(one.content);
    return all;
  }
  static std::vector<std::string> events(int first, int count) {
    std::vector<std::string> all;
    for (int i = first; i < first + count; ++i) all.push_back("event " + std::to_string(i));
    return all;
  }
  /// Every record is somewhere.
  static void expect_balance(const Counts& counts) {
    EXPECT_EQ(counts.stored, counts.delivered + counts.dropped_full + counts.dropped_old + counts.refused +
                                 counts.damaged + counts.waiting);
  }
  std::vector<std::string> files() const { return disk_.files_below("/spool"); }

  simulator::ModelledDisk disk_;
  Options options_;
  std::int64_t now_ms_ = 1'800'000'000'000;
  std::vector<std::string> troubles_;
};

}  // namespace verge::spool
