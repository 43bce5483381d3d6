// Shared memory: one sees what the other wrote, and nobody can take it away.
#include "verge/process/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>

namespace verge::process {
namespace {

using ::testing::HasSubstr;

TEST(SharedMemories, AreSeenByBothSides) {
  auto ours = SharedMemory::create(8192);
  ASSERT_TRUE(ours) << ours.error().text();
  auto theirs = SharedMemory::open(Descriptor(::fcntl(ours->descriptor(), F_DUPFD_CLOEXEC, 0)), 8192);
  ASSERT_TRUE(theirs) << theirs.error().text();
  EXPECT_EQ(ours->bytes().size(), 8192U);
  EXPECT_EQ(ours->bytes()[100], std::byte{0});
  ours->bytes()[100] = std::byte{42};
  EXPECT_EQ(theirs->bytes()[100], std::byte{42});
  const SharedMemory moved = std::move(*theirs);
  EXPECT_EQ(moved.bytes()[100], std::byte{42});
}

TEST(SharedMemories, CannotShrink) {
  const auto memory = SharedMemory::create(4096);
  ASSERT_TRUE(memory);
  EXPECT_NE(::ftruncate(memory->descriptor(), 0), 0);
}

TEST(SharedMemories, ThatCouldShrinkAreRefused) {
  const int loose = ::memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(loose, 4096), 0);
  const auto opened = SharedMemory::open(Descriptor(loose), 4096);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().text(), HasSubstr("expected sealed shared memory of at least 4096 bytes"));
}

TEST(SharedMemories, ThatAreTooSmallAreRefused) {
  const auto memory = SharedMemory::create(4096);
  ASSERT_TRUE(memory);
  EXPECT_FALSE(SharedMemory::open(Descriptor(::fcntl(memory->descriptor(), F_DUPFD_CLOEXEC, 0)), 4097));
  EXPECT_FALSE(SharedMemory::open(Descriptor(-1), 1));
}

}  // namespace
}  // namespace verge::process
