#include <gtest/gtest.h>

#include "compiled.hpp"

namespace verge::processing {
namespace {

/// Fills a 20 × 20 input; the picture is all 200, the padding 7.
test::Filled<std::uint8_t> place(std::string_view resize, int width, int height, std::string_view before = "",
                                 ImageSize source = {}) {
  Image image(width, height, PixelFormat::rgb);
  for (int y = 0; y < height; ++y) std::fill_n(image.row(y), image.stride_bytes(), std::uint8_t{200});
  const auto yaml = test::image_steps(std::string(before) + "  - resize: {width: 20, height: 20, pad: [7], " +
                                      std::string(resize) + "}\n");
  return test::fill<std::uint8_t>(yaml, test::spec(DataType::uint8, {1, 20, 20, 3}), image.view(), source);
}

int at(const test::Filled<std::uint8_t>& filled, int x, int y) {
  return filled.values.at(static_cast<std::size_t>((y * 20 + x) * 3));
}

TEST(Placement, Stretch) {
  const auto p = place("mode: stretch", 40, 10).placement;
  EXPECT_FLOAT_EQ(p.scale_x, 0.5F);
  EXPECT_FLOAT_EQ(p.scale_y, 2.0F);
  EXPECT_FLOAT_EQ(p.offset_x, 0.0F);
  EXPECT_EQ(p.content_x1, 20);
  EXPECT_EQ(p.source_width, 40);
}

TEST(Placement, FitRoundsDownAtTheTopLeft) {
  const auto filled = place("mode: fit", 40, 15);
  EXPECT_EQ(filled.placement.content_y1, 7);  // 7.5
  EXPECT_FLOAT_EQ(filled.placement.scale_y, 7.0F / 15.0F);
  EXPECT_EQ(at(filled, 19, 6), 200);
  EXPECT_EQ(at(filled, 0, 7), 7);
}

TEST(Placement, LetterboxIsCentred) {
  const auto filled = place("mode: letterbox", 10, 40);
  EXPECT_EQ(filled.placement.content_x0, 7);  // 5 wide: 7 left, 8 right.
  EXPECT_EQ(filled.placement.content_x1, 12);
  EXPECT_FLOAT_EQ(filled.placement.offset_x, 7.0F);
  EXPECT_EQ(at(filled, 6, 10), 7);
  EXPECT_EQ(at(filled, 7, 10), 200);
  EXPECT_EQ(at(filled, 11, 0), 200);
  EXPECT_EQ(at(filled, 12, 19), 7);
}

TEST(Placement, CentreCropCovers) {
  const auto filled = place("mode: centre_crop", 41, 20);
  EXPECT_FLOAT_EQ(filled.placement.scale_x, 1.0F);
  EXPECT_FLOAT_EQ(filled.placement.offset_x, -10.0F);  // 10.5, half to even
  EXPECT_EQ(at(filled, 0, 0), 200);
  EXPECT_EQ(at(filled, 19, 19), 200);
}

TEST(Placement, CropsBeforeAndAfterTheResizeAddUp) {
  Image image(100, 60, PixelFormat::rgb);
  const auto yaml = test::image_steps(
      "  - crop: {fraction: 0.5}\n  - resize: {width: 20, height: 20}\n  - crop: {width: 10, height: 12}\n");
  const auto p = test::fill<std::uint8_t>(yaml, test::spec(DataType::uint8, {1, 12, 10, 3}), image.view()).placement;
  EXPECT_FLOAT_EQ(p.scale_x, 20.0F / 50.0F);
  EXPECT_FLOAT_EQ(p.offset_x, -25.0F * 0.4F - 5.0F);
  EXPECT_FLOAT_EQ(p.offset_y, -15.0F * (20.0F / 30.0F) - 4.0F);
  EXPECT_EQ(p.model_width, 10);
  EXPECT_EQ(p.content_y1, 12);
}

TEST(Placement, IsInPixelsOfTheWholePictureWhenItWasDecodedScaled) {
  const auto p = place("mode: letterbox", 40, 20, "", {160, 80}).placement;
  EXPECT_FLOAT_EQ(p.scale_x, 0.125F);
  EXPECT_EQ(p.source_width, 160);
  EXPECT_FLOAT_EQ(p.offset_y, 5.0F);
}

TEST(ScaleHint, IsGivenOnlyWhereTheFilterAverages) {
  const auto hint = [](std::string_view steps) {
    auto preprocessor = test::compile(test::image_steps(steps), test::spec(DataType::uint8, {1, -1, -1, 3}));
    EXPECT_TRUE(preprocessor);
    return preprocessor->scale_hint().min_width;
  };
  EXPECT_EQ(hint("  - resize: {width: 20, height: 20}\n"), 20);
  EXPECT_EQ(hint("  - resize: {width: 20, height: 20, interpolation: area, antialias: false}\n"), 20);
  EXPECT_EQ(hint("  - resize: {width: 20, height: 20, antialias: false}\n"), 0);
  EXPECT_EQ(hint("  - resize: {width: 20, height: 20, interpolation: nearest}\n"), 0);
  EXPECT_EQ(hint("  - crop: {fraction: 0.5}\n  - resize: {width: 20, height: 20}\n"), 40);
  EXPECT_EQ(hint("  - crop: {width: 50, height: 50}\n  - resize: {width: 20, height: 20}\n"), 0);
}

TEST(Run, RefusesPicturesThatDoNotFit) {
  auto exact = test::compile(test::image_steps("  - decode: {}\n"), test::spec(DataType::uint8, {1, 2, 2, 3}));
  auto cropped =
      test::compile(test::image_steps("  - crop: {width: 2, height: 2}\n"), test::spec(DataType::uint8, {1, 2, 2, 3}));
  ASSERT_TRUE(exact && cropped);
  std::array<std::uint8_t, 12> memory{};
  const TensorView view{DataType::uint8, exact->input_shape(), reinterpret_cast<std::byte*>(memory.data()), 12};
  const Image small(1, 4, PixelFormat::rgb);
  EXPECT_EQ(
      exact->run(small.view(), {1, 4}, view).error().text(),
      "expected a picture of 2 × 2 pixels, as the preprocessing has no resize step, got 1 × 4; scale it, or add a "
      "resize step [VRG-PRE-010]");
  EXPECT_EQ(cropped->run(small.view(), {1, 4}, view).error().text(),
            "expected a picture of at least 2 × 2 pixels, which the crop step cuts out, got 1 × 4; send a larger one "
            "[VRG-PRE-010]");
  EXPECT_EQ(exact->run({}, {2, 2}, view).error().id(), "VRG-PRE-010");
  const Image fine(2, 2, PixelFormat::rgb);
  EXPECT_EQ(exact->run(fine.view(), {4, 4}, view).error().id(), "VRG-PRE-010");
  const TensorView wrong{DataType::uint8, {}, reinterpret_cast<std::byte*>(memory.data()), 11};
  EXPECT_EQ(exact->run(fine.view(), {2, 2}, wrong).error().text(),
            "expected an input of type UINT8 with 12 bytes, got UINT8 with 11 [VRG-PRE-011]");
  EXPECT_EQ(exact->run_values({}, view).error().id(), "VRG-PRE-010");
}

}  // namespace
}  // namespace verge::processing
