#include <array>
#include <cmath>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiled.hpp"

namespace verge::processing {
namespace {

using testing::ElementsAre;
using testing::FloatNear;

// 2 × 1 pixels.
constexpr std::array<std::uint8_t, 6> kPixels{0, 128, 255, 10, 127, 1};
constexpr ImageView kPicture{kPixels.data(), 2, 1, 6, PixelFormat::rgb};

TEST(Values, PixelsAreStoredAsTheyAre) {
  const auto none = test::image_steps("  - decode: {}\n");
  EXPECT_THAT(test::fill<std::uint8_t>(none, test::spec(DataType::uint8, {1, 1, 2, 3}), kPicture).values,
              ElementsAre(0, 128, 255, 10, 127, 1));
  EXPECT_THAT(test::fill<std::int8_t>(none, test::spec(DataType::int8, {1, 1, 2, 3}), kPicture).values,
              ElementsAre(-128, 0, 127, -118, -1, -127));
  EXPECT_THAT(test::fill<std::int32_t>(none, test::spec(DataType::int32, {1, 1, 2, 3}), kPicture).values,
              ElementsAre(0, 128, 255, 10, 127, 1));
  EXPECT_THAT(test::fill<float>(none, test::spec(DataType::fp32, {1, 1, 2, 3}), kPicture).values,
              ElementsAre(0, 128, 255, 10, 127, 1));
  EXPECT_THAT(test::fill<double>(none, test::spec(DataType::fp64, {1, 1, 2, 3}), kPicture).values,
              ElementsAre(0, 128, 255, 10, 127, 1));
}

TEST(Values, NchwStandsInPlanes) {
  const auto planes = test::image_steps("  - layout: nchw\n");
  EXPECT_THAT(test::fill<std::uint8_t>(planes, test::spec(DataType::uint8, {1, 3, 1, 2}), kPicture).values,
              ElementsAre(0, 10, 128, 127, 255, 1));
  EXPECT_THAT(test::fill<float>(planes, test::spec(DataType::fp32, {1, 3, 1, 2}), kPicture).values,
              ElementsAre(0, 10, 128, 127, 255, 1));
}

TEST(Values, BgrIsTheModelsOrder) {
  const auto bgr = test::image_steps("  - decode: {colour: bgr}\n  - normalise: {mean: [1, 2, 3]}\n");
  EXPECT_THAT(test::fill<float>(bgr, test::spec(DataType::fp32, {1, 1, 2, 3}), kPicture).values,
              ElementsAre(254, 126, -3, 0, 125, 7));
}

TEST(Values, NormalisesEachChannel) {
  const auto yaml = test::image_steps(
      "  - normalise: {scale: 0.00392156862745098, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}\n");
  const auto filled = test::fill<float>(yaml, test::spec(DataType::fp32, {1, 1, 2, 3}), kPicture);
  EXPECT_THAT(filled.values[0], FloatNear(-2.117904F, 1e-5F));
  EXPECT_THAT(filled.values[1], FloatNear(0.205182F, 1e-5F));
  EXPECT_THAT(filled.values[2], FloatNear(2.64F, 1e-5F));
  const auto halves = test::fill<std::uint16_t>(yaml, test::spec(DataType::fp16, {1, 1, 2, 3}), kPicture);
  EXPECT_NEAR(half_to_float(halves.values[0]), -2.117904F, 1e-3F);
}

TEST(Values, QuantisesEveryPixelExactly) {
  // All 256 values in one row.
  Image image(256, 1, PixelFormat::grey);
  for (int x = 0; x < 256; ++x) image.row(0)[x] = static_cast<std::uint8_t>(x);
  const auto yaml =
      test::image_steps("  - decode: {colour: grey}\n  - normalise: {mean: [127.5], std: [127.5]}\n  - quantise: {}\n");
  const auto filled = test::fill<std::uint8_t>(
      yaml, test::spec(DataType::uint8, {1, 1, 256, 1}, Quantisation{0.0078125F, 128}), image.view());
  for (int p = 0; p < 256; ++p) {
    const double exact = std::nearbyint(((p - 127.5) / 127.5) / 0.0078125) + 128.0;
    EXPECT_EQ(filled.values[static_cast<std::size_t>(p)], std::clamp(exact, 0.0, 255.0)) << p;
  }
  const auto signed_yaml = test::image_steps("  - decode: {colour: grey}\n  - quantise: {}\n");
  const auto signed_filled = test::fill<std::int8_t>(
      signed_yaml, test::spec(DataType::int8, {1, 1, 256, 1}, Quantisation{1.0F, -128}), image.view());
  for (int p = 0; p < 256; ++p) EXPECT_EQ(signed_filled.values[static_cast<std::size_t>(p)], p - 128);
}

TEST(Values, FlatAndBatchlessInputsTake) {
  const auto sized = test::image_steps("  - resize: {width: 2, height: 1}\n");
  for (const auto& shape :
       std::vector<std::vector<std::int64_t>>{{-1, 6}, {6}, {1, 2, 3}, {-1, -1, -1, 3}, {-1, 1, 2, 3}}) {
    EXPECT_EQ(test::fill<std::uint8_t>(sized, test::spec(DataType::uint8, shape), kPicture).values.size(), 6U);
  }
}

std::vector<float> run_values(std::string_view steps, const TensorSpec& input, const std::vector<float>& values) {
  auto preprocessor = test::compile("version: 1\nsample: tensor\nsteps:\n" + std::string(steps), input);
  if (!preprocessor) {
    ADD_FAILURE() << preprocessor.error().text();
    return {};
  }
  std::vector<float> out(values.size());
  const TensorView view{input.datatype, preprocessor->input_shape(), reinterpret_cast<std::byte*>(out.data()),
                        out.size() * size_bytes(input.datatype)};
  const auto result = preprocessor->run_values(std::as_bytes(std::span(values)), view);
  EXPECT_TRUE(result) << result.error().text();
  return out;
}

TEST(Values, TensorSamples) {
  EXPECT_THAT(run_values("  []\n", test::spec(DataType::fp32, {1, 2}), {1.5F, -2}), ElementsAre(1.5F, -2));
  EXPECT_THAT(run_values("  - normalise: {scale: 2, mean: [1, 3], std: [2]}\n", test::spec(DataType::fp32, {-1, 2}),
                         {1, 2, 3, 4}),
              ElementsAre(0.5F, 0.5F, 2.5F, 2.5F));
  const auto stored =
      run_values("  - quantise: {}\n", test::spec(DataType::int8, {1, 4}, Quantisation{0.5F, 3}), {0, 1, -1, 1e9F});
  std::array<std::int8_t, 4> bytes{};
  std::memcpy(bytes.data(), stored.data(), 4);
  EXPECT_THAT(bytes, ElementsAre(3, 5, 1, 127));
}

TEST(Values, TensorSamplesOfTheWrongSizeAreRefused) {
  auto preprocessor = test::compile("{version: 1, sample: tensor, steps: []}", test::spec(DataType::fp32, {1, 2}));
  ASSERT_TRUE(preprocessor);
  std::array<float, 2> memory{};
  const TensorView view{DataType::fp32, preprocessor->input_shape(), reinterpret_cast<std::byte*>(memory.data()), 8};
  const auto result = preprocessor->run_values(std::as_bytes(std::span(memory)).first(7), view);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().text(),
            "expected 8 bytes (values of its own type for the input FP32[1,2]), got 7 [VRG-PRE-012]");
  EXPECT_EQ(preprocessor->run(kPicture, {2, 1}, view).error().id(), "VRG-PRE-010");
}

}  // namespace
}  // namespace verge::processing
