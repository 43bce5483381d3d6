#include <array>
#include <cstdlib>

#include <gtest/gtest.h>

#include "compiled.hpp"
#include "kernels.hpp"

namespace verge::processing {
namespace {

using Expected = std::array<std::uint8_t, 72>;

// Pillow 13.0: Image.fromarray(pattern(37, 29)).resize((6, 4), filter).
constexpr Expected kPillowBilinear{72,  25,  97,  111, 94,  102, 153, 135, 113, 180, 131, 114, 156, 125, 122,
                                   91,  111, 127, 156, 45,  105, 174, 114, 98,  149, 135, 109, 94,  129, 118,
                                   83,  131, 114, 109, 131, 129, 135, 67,  114, 88,  134, 120, 86,  126, 96,
                                   121, 135, 108, 161, 119, 109, 176, 134, 132, 83,  87,  122, 119, 149, 110,
                                   162, 122, 116, 184, 130, 97,  130, 125, 100, 83,  111, 124};
constexpr Expected kPillowBicubic{62,  19,  97,  105, 96,  101, 157, 139, 114, 191, 131, 113, 162, 125, 122,
                                  84,  110, 126, 162, 40,  105, 187, 117, 95,  155, 141, 109, 84,  125, 120,
                                  70,  133, 113, 107, 134, 129, 140, 62,  113, 78,  138, 124, 73,  129, 92,
                                  118, 131, 108, 173, 120, 108, 187, 135, 134, 75,  83,  123, 119, 155, 109,
                                  171, 121, 121, 194, 129, 93,  129, 130, 99,  73,  105, 125};
constexpr Expected kPillowNearest{
    60,  18,  0,   102, 90,  114, 144, 234, 188, 186, 194, 46, 228, 226, 120, 14,  74,  234, 151, 39, 77, 193, 111, 111,
    235, 255, 185, 21,  215, 123, 63,  247, 117, 105, 95,  55, 255, 63,  117, 41,  135, 231, 83,  23, 49, 125, 239, 3,
    167, 15,  77,  209, 119, 95,  90,  84,  194, 132, 156, 80, 174, 44,  46,  216, 4,   188, 2,   36, 74, 44,  140, 24};
// OpenCV 4.6: cv::resize(pattern(37, 29), {6, 4}, interpolation).
constexpr Expected kOpenCvLinear{59,  16,  25,  102, 86,  135, 145, 232, 185, 188, 198, 53,  231, 176, 121,
                                 18,  102, 204, 153, 38,  59,  196, 108, 95,  239, 166, 170, 26,  198, 102,
                                 69,  198, 92,  113, 124, 113, 247, 60,  127, 34,  129, 187, 78,  41,  62,
                                 120, 220, 60,  164, 27,  90,  207, 146, 164, 85,  81,  210, 128, 151, 91,
                                 172, 41,  53,  215, 7,   180, 34,  49,  104, 45,  167, 71};
constexpr Expected kOpenCvCubic{59,  16, 21,  102, 85,  137, 145, 244, 184, 189, 200, 45,  233, 185, 117, 21,  103, 245,
                                153, 38, 53,  196, 107, 106, 255, 175, 169, 27,  202, 110, 70,  206, 93,  113, 125, 106,
                                255, 59, 136, 34,  128, 200, 77,  36,  63,  120, 225, 20,  164, 3,   91,  207, 144, 216,
                                85,  81, 241, 128, 150, 72,  171, 39,  51,  215, 0,   190, 4,   25,  99,  45,  188, 66};
constexpr Expected kOpenCvArea{59,  19, 95,  102, 89,  105, 145, 132, 112, 187, 132, 112, 174, 125, 122, 91,  111, 131,
                               153, 41, 104, 192, 111, 96,  159, 133, 112, 79,  128, 121, 70,  138, 113, 113, 133, 132,
                               142, 63, 114, 69,  133, 128, 78,  123, 90,  121, 134, 110, 164, 127, 105, 193, 135, 132,
                               85,  84, 125, 129, 155, 107, 172, 114, 120, 190, 127, 94,  121, 149, 101, 64,  94,  121};

struct Case {
  const char* filter;
  const Expected* expected;
  int tolerance;
};

class Resize : public testing::TestWithParam<std::tuple<Case, bool>> {};

TEST_P(Resize, AgreesWithTheReference) {
  const auto& [wanted, portable] = GetParam();
  use_portable_kernels(portable);
  const Image image = test::pattern(37, 29);
  const auto yaml = test::image_steps(std::string("  - resize: {width: 6, height: 4, ") + wanted.filter + "}\n");
  const auto filled = test::fill<std::uint8_t>(yaml, test::spec(DataType::uint8, {1, 4, 6, 3}), image.view());
  use_portable_kernels(false);
  ASSERT_EQ(filled.values.size(), wanted.expected->size());
  int worst = 0;
  int sum = 0;
  for (std::size_t i = 0; i < filled.values.size(); ++i) {
    const int difference = std::abs(filled.values[i] - wanted.expected->at(i));
    worst = std::max(worst, difference);
    sum += difference;
  }
  EXPECT_LE(worst, wanted.tolerance);
  EXPECT_LE(sum, static_cast<int>(wanted.expected->size()) * wanted.tolerance / 2);
}

INSTANTIATE_TEST_SUITE_P(
    All, Resize,
    testing::Combine(testing::Values(Case{"interpolation: bilinear", &kPillowBilinear, 0},
                                     Case{"interpolation: bicubic", &kPillowBicubic, 0},
                                     Case{"interpolation: nearest", &kPillowNearest, 0},
                                     Case{"interpolation: bilinear, antialias: false", &kOpenCvLinear, 1},
                                     Case{"interpolation: bicubic, antialias: false", &kOpenCvCubic, 2},
                                     Case{"interpolation: area", &kOpenCvArea, 1}),
                     testing::Bool()));

TEST(Resize, EnlargesAsPillowDoes) {
  const Image image = test::pattern(37, 29);
  const auto filled =
      test::fill<std::uint8_t>(test::image_steps("  - resize: {width: 41, height: 2, interpolation: bicubic}\n"),
                               test::spec(DataType::uint8, {1, 2, 41, 3}), image.view());
  const std::array<std::uint8_t, 24> expected{120, 62, 121, 127, 63, 122, 118, 65, 128, 121, 69,  132,
                                              118, 75, 112, 108, 82, 98,  106, 91, 103, 110, 101, 106};
  // Pillow 13 makes the second pass first here: a rounding between the passes falls differently.
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(filled.values.at(41 * 3 + i), expected.at(i), 2) << i;
}

TEST(Resize, GreyAgreesWithPillow) {
  const Image colour = test::pattern(37, 29);
  Image red(37, 29, PixelFormat::grey);
  for (int y = 0; y < 29; ++y) {
    for (int x = 0; x < 37; ++x) red.row(y)[x] = colour.row(y)[3 * x];
  }
  for (const bool portable : {false, true}) {
    use_portable_kernels(portable);
    const auto filled =
        test::fill<std::uint8_t>(test::image_steps("  - decode: {colour: grey}\n  - resize: {width: 5, height: 3}\n"),
                                 test::spec(DataType::uint8, {1, 3, 5, 1}), red.view());
    EXPECT_EQ(filled.values,
              (std::vector<std::uint8_t>{95, 140, 164, 143, 95, 155, 127, 99, 111, 145, 90, 115, 162, 157, 115}));
  }
  use_portable_kernels(false);
}

TEST(Resize, BothKernelsGiveTheSame) {
  // Sizes around the widths of the vector code, both ways, from pictures without a byte behind their last pixel.
  for (const int width : {1, 2, 5, 31, 64, 200}) {
    for (const int height : {1, 3, 57}) {
      const Image image = test::pattern(width, height);
      const std::vector<std::uint8_t> tight(image.row(0),
                                            image.row(0) + image.stride_bytes() * static_cast<std::size_t>(height));
      const ImageView view{tight.data(), width, height, image.stride_bytes(), PixelFormat::rgb};
      for (const char* filter : {"bilinear", "bicubic", "area", "nearest", "bicubic, antialias: false"}) {
        const auto yaml =
            test::image_steps(std::string("  - resize: {width: 33, height: 21, interpolation: ") + filter + "}\n");
        const auto tensor = test::spec(DataType::uint8, {1, 21, 33, 3});
        const auto fast = test::fill<std::uint8_t>(yaml, tensor, view);
        use_portable_kernels(true);
        const auto slow = test::fill<std::uint8_t>(yaml, tensor, view);
        use_portable_kernels(false);
        EXPECT_EQ(fast.values, slow.values) << width << " × " << height << ' ' << filter;
      }
    }
  }
}

TEST(Resize, AnExtremeReductionKeepsTheMean) {
  Image image(9000, 3, PixelFormat::rgb);
  for (int y = 0; y < 3; ++y) std::fill_n(image.row(y), image.stride_bytes(), std::uint8_t{201});
  for (const char* filter : {"bilinear", "bicubic", "area"}) {
    const auto filled = test::fill<std::uint8_t>(
        test::image_steps(std::string("  - resize: {width: 1, height: 1, interpolation: ") + filter + "}\n"),
        test::spec(DataType::uint8, {1, 1, 1, 3}), image.view());
    EXPECT_NEAR(filled.values.at(0), 201, 1) << filter;
  }
}

TEST(Resize, ConvertsRawFrames) {
  const Image rgb = test::pattern(37, 29);
  Image bgr;
  copy_pixels(rgb.view(), PixelFormat::bgr, bgr);
  const auto yaml = test::image_steps("  - resize: {width: 6, height: 4}\n");
  const auto filled = test::fill<std::uint8_t>(yaml, test::spec(DataType::uint8, {1, 4, 6, 3}), bgr.view());
  EXPECT_TRUE(std::equal(filled.values.begin(), filled.values.end(), kPillowBilinear.begin()));
}

}  // namespace
}  // namespace verge::processing
