// Ways to prepare a picture, tried on one whose content is known.
#include <gmock/gmock.h>

#include "../model/fake_package.hpp"
#include "verge/processing/draft.hpp"

namespace verge::processing {
namespace {

using test::failure;
using test::FakePackage;
using ::testing::HasSubstr;

class Combinations : public test::WithFakeEngine {
 protected:
  /// A picture whose red is strong: with rgb the first class wins, with bgr the third.
  std::filesystem::path red() {
    const auto path = folder() / "red.png";
    std::vector<std::uint8_t> pixels;
    for (int i = 0; i < 256; ++i) pixels.insert(pixels.end(), {200, 10, 40});
    EXPECT_TRUE(write_file(path, test::picture(16, 16, 0, pixels)));
    return path;
  }
};

TEST_F(Combinations, TheColourOrderThatAgreesComesFirst) {
  const auto found = try_combinations(open(test::classifier()), engines_, red(), "CAT");
  ASSERT_TRUE(found) << found.error().text();
  ASSERT_EQ(found->size(), 8U);  // Two orders, one range (UINT8), four geometries.
  EXPECT_EQ(found->front().colour, "rgb");
  EXPECT_EQ(found->front().label, "cat");
  EXPECT_TRUE(found->front().agrees);
  EXPECT_NEAR(found->front().expected_score, 200.0F / 255.0F, 0.01F);
  EXPECT_EQ(found->front().values, "pixels as they are");
  EXPECT_FALSE(found->back().agrees);
  EXPECT_EQ(found->back().label, "bird");
}

TEST_F(Combinations, FloatModelsHaveFourRanges) {
  FakePackage package = test::classifier();
  package.inputs = R"([{"name": "picture", "datatype": "FP32", "shape": [1, 16, 16, 3]}])";
  package.outputs = R"([{"name": "scores", "datatype": "FP32", "shape": [1, 4]}])";
  package.model = "input picture FP32 [1,16,16,3]\noutput scores FP32 [1,4]\nfunction identity\n";
  package.preprocessing =
      "version: 1\nsample: image\nsteps:\n  - decode: {}\n  - resize: { width: 16, height: 16 }\n"
      "  - normalise: { scale: 0.5 }\n";
  const auto found = try_combinations(open(package), engines_, red(), "cat");
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->size(), 32U);
}

TEST_F(Combinations, GreyModels) {
  FakePackage package = test::segmenter();
  package.inputs = R"([{"name": "picture", "datatype": "FP32", "shape": [1, 16, 16, 1]}])";
  package.outputs = R"([{"name": "map", "datatype": "FP32", "shape": [1, 16, 16, 1]}])";
  package.model = "input picture FP32 [1,16,16,1]\noutput map FP32 [1,16,16,1]\nfunction identity\n";
  package.preprocessing =
      "version: 1\nsample: image\nsteps:\n  - decode: { colour: grey }\n  - crop: { fraction: 0.9 }\n"
      "  - resize: { width: 16, height: 16 }\n";
  const auto found = try_combinations(open(package), engines_, red(), "thing");
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->size(), 12U);
  EXPECT_TRUE(found->front().agrees);
  EXPECT_EQ(found->front().colour, "grey");
}

TEST_F(Combinations, WhatCannotBeTried) {
  EXPECT_THAT(failure(try_combinations(open(test::numbers()), engines_, red(), "cat")),
              HasSubstr("the model takes no pictures [VRG-DRF-003]"));
  FakePackage package = test::classifier();
  package.postprocessing = "version: 1\nsteps:\n  - top_k: {}\n";
  package.labels.clear();
  EXPECT_THAT(failure(try_combinations(open(package), engines_, red(), "cat")), HasSubstr("has no labels to compare"));
  EXPECT_THAT(failure(try_combinations(open(test::classifier()), engines_, red(), "horse")),
              HasSubstr("none of the 4 labels holds 'horse'"));
  EXPECT_THAT(failure(try_combinations(open(test::classifier()), engines_, folder() / "nothing.png", "cat")),
              HasSubstr("VRG-BAS-"));
  ASSERT_TRUE(write_file(folder() / "no.png", std::string_view("no picture")));
  EXPECT_THAT(failure(try_combinations(open(test::classifier()), engines_, folder() / "no.png", "cat")),
              HasSubstr("VRG-IMG-001"));
  package = test::classifier();
  package.model = "broken";
  EXPECT_THAT(failure(try_combinations(open(package), engines_, red(), "cat")), HasSubstr("model 'classifier'"));
}

}  // namespace
}  // namespace verge::processing
