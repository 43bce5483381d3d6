// Pictures from files and folders, also from folders that fill up meanwhile.
#include "verge/pipeline/source.hpp"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"

namespace verge::pipeline {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Sources : public ::testing::Test {
 protected:
  Sources() : folder_(std::move(*TemporaryFolder::create("verge_source"))) {}
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }
  void put(const std::string& name, std::string_view content = "picture") {
    ASSERT_TRUE(write_file(folder() / name, content));
  }
  /// Moves a finished file into the folder, as an uploader does.
  void drop(const std::string& name, std::string_view content = "picture") {
    auto elsewhere = TemporaryFolder::create("verge_source_upload");
    ASSERT_TRUE(write_file(elsewhere->path() / name, content));
    std::filesystem::rename(elsewhere->path() / name, folder() / name);
  }
  std::vector<std::string> all_names(Source& source) {
    std::vector<std::string> names;
    Sample sample;
    std::stop_source never;
    while (true) {
      const auto more = source.next(sample, never.get_token());
      if (!more || !*more) return names;
      EXPECT_EQ(sample.index, static_cast<std::int64_t>(names.size()));
      names.push_back(sample.name);
    }
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(Sources, PicturesOfAFolderInTheOrderOfTheirNames) {
  for (const char* name : {"b.JPG", "a.png", "c.bmp", "d.jpeg", "e.txt", ".hidden.png", "f", "sub/g.png"}) put(name);
  auto source = folder_source(folder(), false);
  ASSERT_TRUE(source) << source.error().text();
  EXPECT_THAT(all_names(**source), ElementsAre("a.png", "b.JPG", "c.bmp", "d.jpeg"));
  EXPECT_FALSE((*source)->ended());
  EXPECT_EQ((*source)->dropped(), 0);
}

TEST_F(Sources, AnEmptyFolderEndsAtOnce) {
  auto source = folder_source(folder(), false);
  ASSERT_TRUE(source);
  EXPECT_TRUE(all_names(**source).empty());
}

TEST_F(Sources, AStopIsTheEnd) {
  put("a.png");
  std::stop_source stop;
  stop.request_stop();
  Sample sample;
  for (const bool watch : {false, true}) {
    auto source = folder_source(folder(), watch);
    const auto more = (*source)->next(sample, stop.get_token());
    ASSERT_TRUE(more);
    EXPECT_FALSE(*more);
  }
}

TEST_F(Sources, APictureThatHasGoneIsAnErrorAndTheNextIsGiven) {
  put("a.png");
  put("b.png");
  auto source = folder_source(folder(), false);
  std::filesystem::remove(folder() / "a.png");
  Sample sample;
  const auto gone = (*source)->next(sample, {});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), ErrorCode::not_found);
  EXPECT_EQ(sample.name, "a.png");
  EXPECT_FALSE((*source)->ended());
  ASSERT_TRUE(*(*source)->next(sample, {}));
  EXPECT_EQ(sample.name, "b.png");
  EXPECT_EQ(sample.index, 1);
  EXPECT_FALSE(sample.encoded.empty());
}

TEST_F(Sources, AWatchedFolderGivesWhatComes) {
  put("a.png");
  auto source = folder_source(folder(), true);
  ASSERT_TRUE(source) << source.error().text();
  Sample sample;
  std::stop_source stop;
  ASSERT_TRUE(*(*source)->next(sample, stop.get_token()));
  EXPECT_EQ(sample.name, "a.png");
  drop("moved.jpg", "moved content");
  put("ignored.txt");
  ASSERT_TRUE(*(*source)->next(sample, stop.get_token()));
  EXPECT_EQ(sample.name, "moved.jpg");
  EXPECT_EQ(sample.encoded.size(), 13U);
  std::jthread writer([&] {
    std::this_thread::sleep_for(50ms);
    drop("later.bmp");
  });
  ASSERT_TRUE(*(*source)->next(sample, stop.get_token()));
  EXPECT_EQ(sample.name, "later.bmp");
  writer.join();
  drop("moved.jpg", "new");  // Written again: a new picture.
  ASSERT_TRUE(*(*source)->next(sample, stop.get_token()));
  EXPECT_EQ(sample.name, "moved.jpg");
  EXPECT_EQ(sample.encoded.size(), 3U);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(20ms);
    stop.request_stop();
  });
  EXPECT_FALSE(*(*source)->next(sample, stop.get_token()));
}

TEST_F(Sources, MoreThanTheKernelRemembersIsFoundByListing) {
  auto source = folder_source(folder(), true);
  ASSERT_TRUE(source);
  std::size_t limit = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> limit;
  if (limit == 0 || limit > 20000) GTEST_SKIP() << "fs.inotify.max_queued_events is not a number that a test can pass";
  for (std::size_t i = 0; i < limit + 100; ++i) {  // Links cause no event of their own but the move.
    const auto name = "p" + std::to_string(i) + ".png";
    std::filesystem::create_symlink("/dev/null", folder() / ("." + name));
    std::filesystem::rename(folder() / ("." + name), folder() / name);
  }
  put("zz.png");
  Sample sample;
  std::size_t seen = 0;
  bool last = false;
  while (!last && seen < limit + 200) {
    (void)(*source)->next(sample, {});
    ++seen;
    last = sample.name == "zz.png";
  }
  EXPECT_TRUE(last);
}

TEST_F(Sources, WhatIsNoFolder) {
  put("file");
  const auto file = folder_source(folder() / "file", false);
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().text(), HasSubstr("got a file [VRG-SRC-001]"));
  const auto nothing = folder_source(folder() / "nothing", true);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code(), ErrorCode::not_found);
}

TEST_F(Sources, OnePicture) {
  put("one.png", "content");
  auto source = image_source(folder() / "one.png");
  ASSERT_TRUE(source);
  Sample sample;
  ASSERT_TRUE(*(*source)->next(sample, {}));
  EXPECT_EQ(sample.name, (folder() / "one.png").string());
  EXPECT_EQ(sample.encoded.size(), 7U);
  EXPECT_FALSE(*(*source)->next(sample, {}));
  const auto a_folder = image_source(folder());
  ASSERT_FALSE(a_folder);
  EXPECT_THAT(a_folder.error().text(), HasSubstr("got a folder; use --folder"));
  const auto nothing = image_source(folder() / "nothing");
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace verge::pipeline
