#include "verge/base/text.hpp"

#include <array>

#include <gtest/gtest.h>

namespace verge {
namespace {

TEST(Text, EditDistanceCountsSwapsAsOne) {
  EXPECT_EQ(edit_distance("models", "modles"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance(std::string(1'000'000, 'a'), "b"), 128U) << "hostile lengths are cut";
}

TEST(Text, NearestFindsMisspellingsOnly) {
  constexpr std::array<std::string_view, 3> kNames{"models", "pipelines", "logging"};
  EXPECT_EQ(nearest("modles", kNames), "models");
  EXPECT_EQ(nearest("pipeline", kNames), "pipelines");
  EXPECT_EQ(nearest("xyzxyzxyzq", kNames), "");
}

TEST(Text, ListsAndSizes) {
  constexpr std::array<std::string_view, 3> kNames{"a", "b", "c"};
  EXPECT_EQ(one_of(kNames), "a, b or c");
  EXPECT_EQ(one_of(std::span(kNames).first(1)), "a");
  EXPECT_EQ(human_bytes(7), "7 bytes");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(3.0 * (1 << 30)), "3.0 GiB");
}

}  // namespace
}  // namespace verge
