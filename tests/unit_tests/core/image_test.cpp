#include "verge/processing/image.hpp"

#include <array>

#include <gtest/gtest.h>

namespace verge::processing {
namespace {

TEST(Image, KeepsItsMemoryWhenItShrinks) {
  Image image(20, 10, PixelFormat::rgb);
  const auto* before = image.row(0);
  image.reshape(3, 2, PixelFormat::grey);
  EXPECT_EQ(image.row(0), before);
  EXPECT_EQ(image.stride_bytes(), 3U);
  EXPECT_EQ(image.view().width, 3);
}

TEST(CopyPixels, ChangesTheOrderOfTheChannels) {
  const std::array<std::uint8_t, 6> rgb{1, 2, 3, 250, 100, 0};
  const ImageView view{rgb.data(), 2, 1, 6, PixelFormat::rgb};
  Image out;
  copy_pixels(view, PixelFormat::bgr, out);
  EXPECT_EQ(out.row(0)[0], 3);
  EXPECT_EQ(out.row(0)[2], 1);
  EXPECT_EQ(out.row(0)[3], 0);
  copy_pixels(view, PixelFormat::rgb, out);
  EXPECT_EQ(out.row(0)[0], 1);
}

TEST(CopyPixels, WeighsColoursAsPillowDoes) {
  const std::array<std::uint8_t, 12> rgb{255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 200, 30};
  Image out;
  copy_pixels({rgb.data(), 4, 1, 12, PixelFormat::rgb}, PixelFormat::grey, out);
  EXPECT_EQ(out.row(0)[0], 76);  // Image.convert("L") gives 76, 150, 29 and 124.
  EXPECT_EQ(out.row(0)[1], 150);
  EXPECT_EQ(out.row(0)[2], 29);
  EXPECT_EQ(out.row(0)[3], 124);
  copy_pixels({rgb.data(), 4, 1, 12, PixelFormat::bgr}, PixelFormat::grey, out);
  EXPECT_EQ(out.row(0)[0], 29);
}

TEST(CopyPixels, RepeatsGreyForColour) {
  const std::array<std::uint8_t, 2> grey{7, 9};
  Image out;
  copy_pixels({grey.data(), 2, 1, 2, PixelFormat::grey}, PixelFormat::bgr, out);
  EXPECT_EQ(out.row(0)[2], 7);
  EXPECT_EQ(out.row(0)[3], 9);
}

}  // namespace
}  // namespace verge::processing
