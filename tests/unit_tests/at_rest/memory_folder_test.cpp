// Memory folders: files in locked memory, and nothing of them left behind.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "verge/at_rest/memory_folder.hpp"
#include "verge/base/file.hpp"

namespace verge::at_rest::test {
namespace {

std::filesystem::path somewhere(std::string_view name) {
  return std::filesystem::path("/dev/shm") / fmt::format("verge-test-{}-{}", name, ::getpid());
}

/// Kilobytes of a key of /proc/self/status.
long status_of(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return std::atol(line.c_str() + key.size() + 1);
  }
  return -1;
}

Result<void> add(MemoryFolder& folder, std::string_view name, std::string_view text) {
  return folder.add(name, text.size(), [&](std::span<std::byte> into) -> Result<void> {
    std::ranges::copy(std::as_bytes(std::span(text)), into.begin());
    return {};
  });
}

/// Sanitizers lock nothing: their own memory is too much for any limit.
constexpr bool locks() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

TEST(AMemoryFolder, HasFilesWithContentThatOnlyTheOwnerMayRead) {
  const auto path = somewhere("files");
  {
    auto folder = MemoryFolder::create(path, Locking::required);
    ASSERT_TRUE(folder) << folder.error().text();
    ASSERT_TRUE(add(*folder, "metadata.json", "{}"));
    ASSERT_TRUE(add(*folder, "model_files/deep/m.onnx", "weights"));
    ASSERT_TRUE(add(*folder, "empty", ""));
    EXPECT_EQ(read_text(path / "model_files/deep/m.onnx", 100).value(), "weights");
    EXPECT_EQ(read_text(path / "empty", 100).value(), "");
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0700U);
    EXPECT_FALSE(add(*folder, "metadata.json", "again"));
    EXPECT_EQ(add(*folder, "../outside", "x").error().id(), "VRG-BAS-004");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(AMemoryFolder, IsLockedWhileItLastsAndFreedAfterwards) {
  if (!locks()) GTEST_SKIP() << "a sanitizer is on";
  const auto before = status_of("VmLck");
  {
    auto folder = MemoryFolder::create(somewhere("locked"), Locking::required);
    ASSERT_TRUE(folder);
    ASSERT_TRUE(add(*folder, "m", std::string(1U << 20U, 'x')));
    EXPECT_GE(status_of("VmLck"), before + 1024);
  }
  EXPECT_EQ(status_of("VmLck"), before);
}

TEST(AMemoryFolder, TakesThePlaceOfOneThatAKilledRunLeft) {
  const auto path = somewhere("left");
  std::filesystem::create_directories(path / "a");
  std::ofstream(path / "a" / "old") << "old";
  const auto folder = MemoryFolder::create(path, Locking::required);
  ASSERT_TRUE(folder) << folder.error().text();
  EXPECT_FALSE(std::filesystem::exists(path / "a"));
}

TEST(AMemoryFolder, IsNotMadeOnADisk) {
  const auto scratch = TemporaryFolder::create("verge-disk-");
  ASSERT_TRUE(scratch);
  const auto folder = MemoryFolder::create(scratch->path() / "x", Locking::required);
  if (folder) GTEST_SKIP() << "the temporary folder of this machine is in memory";
  EXPECT_EQ(folder.error().id(), "VRG-RST-017");
}

TEST(AMemoryFolder, SaysWhenThereIsTooLittle) {
  auto folder = MemoryFolder::create(somewhere("full"), Locking::required);
  ASSERT_TRUE(folder);
  const auto added = folder->add("m", std::uint64_t{1} << 46U, [](std::span<std::byte>) { return Result<void>(); });
  EXPECT_EQ(added.error().id(), "VRG-RST-016");
}

/// What a user without rights gets whose limit is small; in a process of its own, which gives the rights up for good.
int added_with_a_small_limit(Locking locking) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit small{64U << 10U, 64U << 10U};
    constexpr uid_t kNobody = 65534;
    if (::setrlimit(RLIMIT_MEMLOCK, &small) != 0 || ::setuid(kNobody) != 0) ::_exit(4);
    auto folder = MemoryFolder::create(somewhere("small"), locking);
    if (!folder) ::_exit(5);
    const auto added = add(*folder, "m", std::string(1U << 20U, 'x'));
    const bool named = !added && added.error().id() == "VRG-RST-015" &&
                       added.error().message().find("LimitMEMLOCK") != std::string::npos;
    { const MemoryFolder last = std::move(*folder); }
    ::_exit(added ? 0 : named ? 1 : 2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST(AMemoryFolder, SaysWhatToDoWhenTheLimitIsTooSmall) {
  if (!locks()) GTEST_SKIP() << "a sanitizer is on";
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  EXPECT_EQ(added_with_a_small_limit(Locking::required), 1);
  EXPECT_EQ(added_with_a_small_limit(Locking::best_effort), 0);
}

}  // namespace
}  // namespace verge::at_rest::test
