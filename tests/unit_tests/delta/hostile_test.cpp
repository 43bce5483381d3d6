// Deltas that are damaged, or were never any: refused, and within the limits.
#include <gmock/gmock.h>

#include "delta_bench.hpp"

namespace verge::delta {
namespace {

using namespace test;
using ::testing::HasSubstr;

class Hostile : public ::testing::Test {
 protected:
  Buffer old = bytes_of(weights(20'000, 1));
  Buffer fresh = [] {
    auto bytes = bytes_of(trained(weights(20'000, 1), 2));
    const auto more = random_bytes(3000, 3);
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
  }();
  Buffer delta =
      make_or_fail({old, {{"w", ElementKind::float32, 0, 80'000}}}, {fresh, {{"w", ElementKind::float32, 0, 80'000}}});

  std::string refusal(const Buffer& damaged) const {
    const auto got = applied(old, damaged);
    EXPECT_FALSE(got) << "this was taken for a delta";
    return got ? "" : got.error().text();
  }
};

TEST_F(Hostile, EveryCutIsNoticed) {
  for (std::size_t size = 0; size < delta.size(); size += size < 300 ? 1 : 997) {
    EXPECT_THAT(refusal(Buffer(delta.begin(), delta.begin() + static_cast<std::ptrdiff_t>(size))),
                HasSubstr("VRG-DLT-002"));
  }
}

TEST_F(Hostile, EveryFlippedBitIsNoticed) {
  for (std::size_t at = 0; at < delta.size(); at += at < 300 ? 1 : 499) {
    auto damaged = delta;
    damaged[at] ^= static_cast<std::byte>(1U << (at % 8));
    const auto got = applied(old, damaged);
    // The digest of the old file is only told: whoever has the file by its digest has checked it.
    if (got) {
      EXPECT_EQ(*got, fresh) << "byte " << at;
    }
  }
}

TEST_F(Hostile, AnotherOldFileIsNoticed) {
  auto other = old;
  other[100] ^= std::byte{1};
  auto got = applied(other, delta);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().id(), "VRG-DLT-004");
  other.pop_back();
  got = applied(other, delta);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().id(), "VRG-DLT-003");
  EXPECT_EQ(got.error().code(), ErrorCode::data_loss);
}

TEST_F(Hostile, SizesThatPromiseTooMuchAreRefused) {
  // The count of segments, the sizes and offsets: all numbers of the header, one after the other, as large as they get.
  for (std::size_t at = 4; at < 100; ++at) {
    auto damaged = delta;
    const std::array<unsigned char, 9> huge{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F};
    std::memcpy(damaged.data() + at, huge.data(), huge.size());
    const auto got = applied(old, damaged);
    if (got) {
      EXPECT_EQ(*got, fresh);
    }
  }
}

TEST_F(Hostile, ErrorsOfTheFilesAndTheSinkAreHandedThrough) {
  auto source = source_of(old);
  source.read = [](std::uint64_t, std::span<std::byte>) -> Result<void> {
    return Error(ErrorCode::unavailable, "VRG-BAS-001", "input/output error");
  };
  const auto ignore = [](std::span<const std::byte>) -> Result<void> { return {}; };
  EXPECT_EQ(apply(source, source_of(delta), ignore).error().id(), "VRG-BAS-001");
  const auto full = [](std::span<const std::byte>) -> Result<void> {
    return Error(ErrorCode::resource_exhausted, "VRG-BAS-002", "the disk is full");
  };
  EXPECT_EQ(apply(source_of(old), source_of(delta), full).error().id(), "VRG-BAS-002");
  EXPECT_EQ(open_source("/nowhere").error().code(), ErrorCode::not_found);
  EXPECT_EQ(open_source("/tmp").error().id(), "VRG-DLT-005");
}

}  // namespace
}  // namespace verge::delta
