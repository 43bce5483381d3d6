// Packages in memory: shared by who runs them, and gone with the last one.
#include "memory_packages.hpp"

#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "verge/base/file.hpp"
#include "verge/update/disk_files.hpp"
#include "verge/update/encrypted_files.hpp"

namespace verge::agent {
namespace {

class Packages : public ::testing::Test {
 protected:
  Packages() {
    keys_.add({}, std::make_shared<const at_rest::Secret>(at_rest::Secret::random()));
    installed_.digest = "sha256:1";
    installed_.folder = "store/packages/1";
    EXPECT_TRUE(files_.write("store/packages/1/metadata.json", "{}"));
    EXPECT_TRUE(files_.write("store/packages/1/model_files/deep/m", std::string(200'000, 'm')));
    EXPECT_TRUE(files_.write("store/packages/1/model_files/empty", ""));
  }
  [[nodiscard]] std::filesystem::path folder() const {
    return std::filesystem::path("/dev/shm") / fmt::format("verge-test-packages-{}", ::getpid());
  }
  std::unique_ptr<MemoryPackages> packages() {
    auto made = MemoryPackages::create(files_, folder(), at_rest::Locking::required);
    EXPECT_TRUE(made) << made.error().text();
    return std::move(made.value());
  }

  TemporaryFolder disk_ = TemporaryFolder::create("verge-packages-").value();
  at_rest::DataKeys keys_;
  update::DiskFiles stored_{disk_.path()};
  update::EncryptedFiles files_{stored_, keys_};
  update::InstalledPackage installed_;
};

TEST_F(Packages, AreOrdinaryFolders) {
  const auto open = packages();
  const auto package = open->open(installed_);
  ASSERT_TRUE(package) << package.error().text();
  EXPECT_EQ(read_text((*package)->path() / "metadata.json", 100).value(), "{}");
  EXPECT_EQ(read_text((*package)->path() / "model_files/deep/m", 1U << 20U).value(), std::string(200'000, 'm'));
  EXPECT_EQ(read_text((*package)->path() / "model_files/empty", 100).value(), "");
}

TEST_F(Packages, AreSharedAndGoWithTheLastOne) {
  const auto open = packages();
  std::filesystem::path path;
  {
    const auto first = open->open(installed_);
    ASSERT_TRUE(first);
    path = (*first)->path();
    const auto second = open->open(installed_);
    ASSERT_TRUE(second);
    EXPECT_EQ((*second)->path(), path);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  const auto again = open->open(installed_);
  ASSERT_TRUE(again);
  EXPECT_NE((*again)->path(), path);
}

TEST_F(Packages, WithADamagedFileAreNotMade) {
  const auto file = disk_.path() / "store/packages/1/model_files/deep/m";
  auto content = read_file(file, 1U << 20U).value();
  content[100'000] ^= std::byte{1};
  ASSERT_TRUE(write_file(file, content));
  const auto open = packages();
  EXPECT_EQ(open->open(installed_).error().id(), "VRG-RST-001");
  EXPECT_TRUE(std::filesystem::is_empty(folder())) << "a part of it stays in memory";
}

TEST_F(Packages, LeaveNothingBehind) {
  {
    const auto open = packages();
    const auto package = open->open(installed_);
    ASSERT_TRUE(package);
  }
  EXPECT_FALSE(std::filesystem::exists(folder()));
}

}  // namespace
}  // namespace verge::agent
