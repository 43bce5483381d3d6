// The modelled disk: as the machine's own file system while the power is on, and by its rules when it is lost.
#include "modelled_disk.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "verge/base/file.hpp"

namespace verge::simulator {
namespace {

using Fate = Loss::Fate;

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// Adds to a file, which is made when absent; its error number, or 0.
int append(FileSystem& system, const std::string& path, std::string_view text, bool synced = false) {
  const auto number = system.open_to_append(path);
  if (!number) return number.error();
  const OpenFile file(system, *number);
  if (const auto written = file.write_all(bytes(text)); !written) return written.error();
  if (!synced) return 0;
  const auto done = system.sync(file.get());
  return done ? 0 : done.error();
}

std::string content(FileSystem& system, const std::string& path) {
  return read_text(system, path, 1U << 20U).value_or("none");
}

/// One random call on one of few names; what it gave, as text.
std::string call(FileSystem& system, const std::string& root, Chance chance) {
  constexpr std::array kNames{"/a", "/b", "/d", "/d/a", "/d/b", "/d/e", "/d/e/a", "/f", "/f/a"};
  const auto any = [&] { return root + kNames.at(chance.below(kNames.size())); };
  const auto told = [](const auto& result) { return result ? 0 : result.error(); };
  const auto first = any();
  const auto second = any();
  switch (chance.below(10)) {
    case 0: {
      const auto number = system.create(first);
      if (number) system.close(*number);
      return fmt::format("create {}", told(number));
    }
    case 1:
    case 2: return fmt::format("append {}", append(system, first, "text"));
    case 3: return fmt::format("make folder {}", told(system.make_folder(first)));
    case 4: return fmt::format("remove folder {}", told(system.remove_folder(first)));
    case 5: return fmt::format("unlink {}", told(system.unlink(first)));
    case 6: return fmt::format("link {}", told(system.link(first, second)));
    case 7: {
      const auto status = system.status(first);
      if (!status) return fmt::format("status {}", status.error());
      const auto other = system.status(second);
      return fmt::format("status {} {} {} {}", status->is_folder, status->is_file,
                         status->is_file ? status->size_bytes : 0, other && other->inode == status->inode);
    }
    case 8: {
      auto names = system.list(first);
      if (!names) return fmt::format("list {}", names.error());
      std::ranges::sort(*names);
      return fmt::format("list {}", fmt::join(*names, " "));
    }
    default: return fmt::format("rename {}", told(system.rename(first, second)));
  }
}

TEST(ModelledDisk, DoesWhatTheMachinesFileSystemDoes) {
  const auto folder = std::move(*TemporaryFolder::create("verge-disk-"));
  ModelledDisk disk;
  Chance chance(1);
  for (int i = 0; i < 20'000; ++i) {
    const auto seed = chance.next();
    const auto expected = call(real_file_system(), folder.path().string(), Chance(seed));
    ASSERT_EQ(call(disk, "", Chance(seed)), expected) << "call " << i;
    if (i % 100 != 0) continue;
    for (const auto& path : disk.files_below("")) {
      ASSERT_EQ(content(disk, path), content(real_file_system(), folder.path().string() + path)) << path;
    }
  }
}

TEST(ModelledDisk, ContentSurvivesOnceItsFileIsSyncedAndItsNameOnceTheFolderIs) {
  ModelledDisk disk;
  ASSERT_EQ(append(disk, "/a", "one", true), 0);
  EXPECT_TRUE(disk.after({}).files.empty()) << "the name is not synced";
  ASSERT_TRUE(sync_path(disk, "/"));
  ASSERT_EQ(append(disk, "/a", " two"), 0);
  EXPECT_EQ(*disk.after({}).files.at("/a"), "one");
  EXPECT_EQ(*disk.after({Fate::lost, Fate::kept, 0, false}).files.at("/a"), "one two");
  disk.lose_power({});
  EXPECT_EQ(content(disk, "/a"), "one");
  EXPECT_TRUE(disk.is_synced());
}

TEST(ModelledDisk, NewSectorsAreTorn) {
  ModelledDisk disk;
  ASSERT_EQ(append(disk, "/a", std::string(600, 'x'), true), 0);
  ASSERT_TRUE(sync_path(disk, "/"));
  ASSERT_EQ(append(disk, "/a", std::string(3000, 'y')), 0);
  std::set<std::size_t> sizes;
  bool hole = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto left = *disk.after({Fate::kept, Fate::mixed, seed, false}).files.at("/a");
    EXPECT_EQ(left.substr(0, 600), std::string(600, 'x')) << "what was synced is whole";
    sizes.insert(left.size());
    hole = hole || (left.find('\0') != std::string::npos && left.ends_with('y'));
  }
  EXPECT_GT(sizes.size(), 20U);
  EXPECT_TRUE(hole) << "a later sector may be there without an earlier one";
}

TEST(ModelledDisk, NamesAreReorderedAndARenameIsWhole) {
  ModelledDisk disk;
  ASSERT_EQ(append(disk, "/a", "a", true), 0);
  ASSERT_EQ(append(disk, "/b", "b", true), 0);
  ASSERT_TRUE(sync_path(disk, "/"));
  ASSERT_TRUE(disk.rename("/a", "/c"));
  ASSERT_TRUE(disk.unlink("/b"));
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::string names;
    for (const auto& [path, text] : disk.after({Fate::mixed, Fate::kept, seed, false}).files) names += path;
    seen.insert(names);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"/a/b", "/a", "/b/c", "/c"}));
}

TEST(ModelledDisk, ARenameBetweenFoldersIsDurableOnceBothAreSynced) {
  ModelledDisk disk;
  ASSERT_TRUE(disk.make_folder("/from"));
  ASSERT_TRUE(disk.make_folder("/to"));
  ASSERT_EQ(append(disk, "/from/a", "a", true), 0);
  ASSERT_TRUE(sync_path(disk, "/"));
  ASSERT_TRUE(sync_path(disk, "/from"));
  ASSERT_TRUE(disk.rename("/from/a", "/to/a"));
  ASSERT_TRUE(sync_path(disk, "/to"));
  EXPECT_TRUE(disk.after({}).files.contains("/from/a"));
  ASSERT_TRUE(sync_path(disk, "/from"));
  EXPECT_TRUE(disk.after({}).files.contains("/to/a"));
  EXPECT_FALSE(disk.after({}).files.contains("/from/a"));
}

TEST(ModelledDisk, WhatLiesInAFolderWithoutANameIsLost) {
  ModelledDisk disk;
  ASSERT_TRUE(disk.make_folder("/d"));
  ASSERT_EQ(append(disk, "/d/a", "a", true), 0);
  ASSERT_TRUE(sync_path(disk, "/d"));
  EXPECT_TRUE(disk.after({}).folders.empty());
  ASSERT_TRUE(sync_path(disk, "/"));
  EXPECT_TRUE(disk.after({}).files.contains("/d/a"));
}

TEST(ModelledDisk, ASyncThatFailedIsNotMadeUpForByALaterOne) {
  ModelledDisk disk;
  ASSERT_EQ(append(disk, "/a", "kept", true), 0);
  ASSERT_TRUE(sync_path(disk, "/"));
  disk.before_call = [](Call call, const std::string&) { return call == Call::sync ? EIO : 0; };
  EXPECT_EQ(append(disk, "/a", " lost", true), EIO);
  disk.before_call = nullptr;
  ASSERT_EQ(append(disk, "/a", "", true), 0) << "the next one succeeds";
  EXPECT_EQ(*disk.after({}).files.at("/a"), "kept");
}

TEST(ModelledDisk, ASyncThatIsLeftOutExposesWhatItWouldHaveKept) {
  ModelledDisk disk;
  disk.left_out = 2;
  ASSERT_EQ(append(disk, "/a", "a", true), 0);
  EXPECT_FALSE(disk.is_exposed());
  ASSERT_TRUE(sync_path(disk, "/"));
  EXPECT_TRUE(disk.is_exposed());
  ASSERT_EQ(append(disk, "/b", "b"), 0);
  const auto left = disk.after({Fate::kept, Fate::lost, 0, true});
  EXPECT_FALSE(left.files.contains("/a"));
  EXPECT_EQ(*left.files.at("/b"), "b") << "all else is kept";
  ASSERT_TRUE(sync_path(disk, "/"));
  EXPECT_FALSE(disk.is_exposed()) << "a later one has made up for it";
}

TEST(ModelledDisk, LinksStayLinks) {
  ModelledDisk disk;
  ASSERT_EQ(append(disk, "/a", "text"), 0);
  ASSERT_TRUE(disk.link("/a", "/b"));
  const auto linked = disk.image();
  disk.lose_power({Fate::kept, Fate::kept, 0, false});
  EXPECT_EQ(disk.status("/a")->inode, disk.status("/b")->inode);
  EXPECT_EQ(disk.image().fingerprint(), linked.fingerprint());
  ASSERT_TRUE(disk.unlink("/b"));
  ASSERT_EQ(append(disk, "/b", "text"), 0);
  EXPECT_NE(disk.image().fingerprint(), linked.fingerprint()) << "the same content is not the same file";
  disk.flip_bit("/b", 0);
  EXPECT_EQ(content(disk, "/a"), "text");
  EXPECT_EQ(*linked.files.at("/b"), "text") << "an image does not change with the disk";
}

TEST(ModelledDisk, AFullDiskTakesAPart) {
  ModelledDisk disk;
  disk.before_call = [](Call call, const std::string&) { return call == Call::write ? ENOSPC : 0; };
  EXPECT_EQ(append(disk, "/a", "1234"), ENOSPC);
  EXPECT_EQ(content(disk, "/a"), "12");
}

}  // namespace
}  // namespace verge::simulator
