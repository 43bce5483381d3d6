#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "outputs.hpp"

namespace verge::processing {
namespace {

using testing::ElementsAre;

TEST(Segmentation, ArgmaxInBothLayouts) {
  test::Outputs nhwc;
  nhwc.add<float>("out", DataType::fp32, {1, 1, 2, 3}, {1, 2, 3, 9, 8, 7});
  EXPECT_THAT(
      test::make(test::steps("  - segmentation: {method: argmax, size: model}\n"), nhwc).prediction.mask.classes,
      ElementsAre(2, 0));
  test::Outputs nchw;
  nchw.add<float>("out", DataType::fp32, {1, 3, 1, 2}, {1, 9, 2, 8, 3, 7});
  const auto made =
      test::make(test::steps("  - softmax: {}\n  - segmentation: {method: argmax, layout: nchw, size: model}\n"), nchw,
                 {"bg", "a", "b"});
  EXPECT_THAT(made.prediction.mask.classes, ElementsAre(2, 0));
  EXPECT_EQ(made.prediction.mask.width, 2);
  ASSERT_EQ(made.prediction.areas.size(), 2U);
  EXPECT_FLOAT_EQ(made.prediction.areas[0].fraction, 0.5F);
  EXPECT_EQ(made.prediction.areas[0].label, "bg");
}

TEST(Segmentation, ThresholdOfFlatTensors) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 4}, {0, 1, 0, std::nanf("")});
  const auto made = test::make(
      test::steps(
          "  - sigmoid: {}\n  - segmentation: {method: threshold, threshold: 0.6, width: 2, height: 2, size: model}\n"),
      outputs);
  EXPECT_THAT(made.prediction.mask.classes, ElementsAre(0, 1, 0, 0));
}

TEST(Segmentation, LabelsAreTakenAsTheyAre) {
  test::Outputs outputs;
  outputs.add<std::int64_t>("out", DataType::int64, {1, 2, 2}, {0, 15, -4, 1'000'000});
  const auto made = test::make(test::steps("  - segmentation: {method: labels, size: model}\n"), outputs);
  EXPECT_THAT(made.prediction.mask.classes, ElementsAre(0, 15, 0, 255));
}

TEST(Segmentation, NearestIsBroughtToTheSource) {
  test::Outputs outputs;
  outputs.add<std::uint8_t>("out", DataType::uint8, {1, 2, 2}, {1, 2, 3, 4});
  const auto made = test::make(test::steps("  - segmentation: {method: labels}\n"), outputs, {}, test::whole(4, 3));
  EXPECT_THAT(made.prediction.mask.classes, ElementsAre(1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4));
}

TEST(Segmentation, BilinearMovesTheBorder) {
  // Scores 0 and 4 over two cells: 0.5 is passed at an eighth of the way between their middles.
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 1, 2, 1}, {0, 4});
  const auto bilinear = test::make(test::steps("  - segmentation: {method: threshold, interpolation: bilinear}\n"),
                                   outputs, {}, test::whole(8, 1));
  EXPECT_THAT(bilinear.prediction.mask.classes,
              ElementsAre(0, 0, 0, 1, 1, 1, 1, 1));  // On the map: 0, 0, 0.125, 0.375 …; 0.5 is not above.
  const auto nearest =
      test::make(test::steps("  - segmentation: {method: threshold}\n"), outputs, {}, test::whole(8, 1));
  EXPECT_THAT(nearest.prediction.mask.classes, ElementsAre(0, 0, 0, 0, 1, 1, 1, 1));
}

TEST(Segmentation, BilinearArgmaxAgreesWithEveryPixelWorkedOut) {
  test::Outputs outputs;
  std::vector<float> scores;
  for (int i = 0; i < 5 * 4 * 3; ++i) scores.push_back(static_cast<float>((i * 7919) % 101) / 10.0F);
  outputs.add<float>("out", DataType::fp32, {1, 4, 5, 3}, scores);
  const auto made = test::make(test::steps("  - segmentation: {method: argmax, interpolation: bilinear}\n"), outputs,
                               {}, test::whole(23, 17));
  for (int y = 0; y < 17; ++y) {
    for (int x = 0; x < 23; ++x) {
      const double mx = std::clamp((x + 0.5) * 5 / 23 - 0.5, 0.0, 4.0);
      const double my = std::clamp((y + 0.5) * 4 / 17 - 0.5, 0.0, 3.0);
      const int x0 = static_cast<int>(mx), y0 = static_cast<int>(my);
      const int x1 = std::min(x0 + 1, 4), y1 = std::min(y0 + 1, 3);
      double best = -1, second = -1;
      int best_class = 0;
      for (int c = 0; c < 3; ++c) {
        const auto at = [&](int yy, int xx) {
          return static_cast<double>(scores[static_cast<std::size_t>((yy * 5 + xx) * 3 + c)]);
        };
        const double top = at(y0, x0) + (at(y0, x1) - at(y0, x0)) * (mx - x0);
        const double bottom = at(y1, x0) + (at(y1, x1) - at(y1, x0)) * (mx - x0);
        const double value = top + (bottom - top) * (my - y0);
        if (value > best) {
          second = best;
          best = value;
          best_class = c;
        } else {
          second = std::max(second, value);
        }
      }
      if (best - second > 1e-4) {
        EXPECT_EQ(made.prediction.mask.classes[static_cast<std::size_t>(y * 23 + x)], best_class) << x << ',' << y;
      }
    }
  }
}

TEST(Segmentation, PaddingAndWhatWasCutAwayIsClassZero) {
  test::Outputs outputs;
  outputs.add<std::uint8_t>("out", DataType::uint8, {1, 4, 4}, std::vector<std::uint8_t>(16, 7));
  // The middle half of the source's width, letterboxed into the middle rows.
  const Placement placement{16, 8, -32, 8, 4, 2, 32, 32, 0, 8, 32, 24};
  const auto made = test::make(test::steps("  - segmentation: {method: labels}\n"), outputs, {}, placement);
  EXPECT_THAT(made.prediction.mask.classes, ElementsAre(0, 0, 7, 7, 0, 0, 7, 7));
}

TEST(Segmentation, PaletteComesFromTheDefinition) {
  test::Outputs outputs;
  outputs.add<std::uint8_t>("out", DataType::uint8, {1, 1, 1}, {0});
  const auto made = test::make(test::steps("  - segmentation: {method: labels, palette: [[1, 2, 3]]}\n"), outputs);
  ASSERT_EQ(made.postprocessor->palette().size(), 1U);
  EXPECT_EQ(made.postprocessor->palette()[0].blue, 3);
}

}  // namespace
}  // namespace verge::processing
