#include "verge/processing/rendering.hpp"

#include <array>

#include <gtest/gtest.h>

namespace verge::processing {
namespace {

constexpr std::array<Colour, 2> kPalette{Colour{1, 2, 3}, Colour{100, 200, 50}};

TEST(RenderMask, TakesThePaletteThenTheVocColours) {
  Image out;
  render_mask(Mask{3, 1, {0, 1, 2}}, kPalette, out);
  EXPECT_EQ(out.row(0)[2], 3);
  EXPECT_EQ(out.row(0)[4], 200);
  EXPECT_EQ(out.row(0)[6], 0);  // Class 2 of PASCAL VOC: 0, 128, 0.
  EXPECT_EQ(out.row(0)[7], 128);
  render_mask(Mask{}, kPalette, out);
  EXPECT_EQ(out.width(), 3);
}

TEST(ClassNumbers, AreTheMask) {
  const Mask mask{2, 1, {5, 9}};
  const ImageView view = class_numbers(mask);
  EXPECT_EQ(view.format, PixelFormat::grey);
  EXPECT_EQ(view.row(0)[1], 9);
}

TEST(DrawOverlay, BlendsMasksAndLeavesClassZero) {
  Image source(100, 60, PixelFormat::grey);
  std::fill_n(source.row(0), 6000, std::uint8_t{100});
  Prediction prediction;
  prediction.kind = PredictionKind::mask;
  prediction.mask = {2, 1, {0, 1}};
  Image out;
  draw_overlay(source.view(), prediction, kPalette, out);
  EXPECT_EQ(out.format(), PixelFormat::rgb);
  EXPECT_EQ(out.row(50)[0], 100);
  EXPECT_EQ(out.row(50)[3 * 99 + 1], 150);
}

TEST(DrawOverlay, DrawsBoxesAndTextWithinThePicture) {
  Image source(64, 48, PixelFormat::rgb);
  std::fill_n(source.row(0), 64 * 48 * 3, std::uint8_t{0});
  Prediction prediction;
  prediction.kind = PredictionKind::boxes;
  prediction.boxes = {{10, 20, 40, 40, 3, 0.5F, "a long label \xc3\xa9 that does not fit"},
                      {-1e9F, -5, 1e9F, 1e9F, 1, 0.4F, {}}};
  Image out;
  draw_overlay(source.view(), prediction, {}, out);
  const Colour expected = class_colour({}, 4);
  EXPECT_EQ(out.row(30)[3 * 10], expected.red);
  EXPECT_EQ(out.row(30)[3 * 10 + 2], expected.blue);
  EXPECT_EQ(out.row(30)[3 * 25], 0);
  prediction.kind = PredictionKind::classes;
  prediction.classes = {{0, 0.9F, "cat"}, {1, 0.1F, {}}};
  draw_overlay(source.view(), prediction, {}, out);
  int white = 0;
  for (int x = 0; x < 64; ++x) white += out.row(4)[3 * x] == 255 ? 1 : 0;
  EXPECT_GT(white, 3);
  const Image tiny(1, 1, PixelFormat::rgb);
  draw_overlay(tiny.view(), prediction, {}, out);
  EXPECT_EQ(out.width(), 1);
}

}  // namespace
}  // namespace verge::processing
