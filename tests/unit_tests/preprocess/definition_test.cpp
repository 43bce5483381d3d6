#include <gtest/gtest.h>

#include "compiled.hpp"

namespace verge::processing {
namespace {

struct Bad {
  const char* steps;
  TensorSpec input;
  const char* expected;
};

void check(const Bad& bad) {
  const auto result = test::compile(test::image_steps(bad.steps), bad.input);
  ASSERT_FALSE(result) << bad.steps;
  EXPECT_EQ(result.error().text(), bad.expected);
}

const TensorSpec kInput = test::spec(DataType::uint8, {1, 4, 4, 3}, Quantisation{0.5F, 1});

TEST(Definition, OrderOfTheSteps) {
  check({"  - resize: {width: 4, height: 4}\n  - decode: {}\n", kInput,
         "preprocessing.yaml line 5: step 2 (decode): expected the order decode, crop and resize, normalise, layout, "
         "quantise, each once, got 'decode' after 'resize'; move or remove it [VRG-PRE-001]"});
  check({"  - quantise: {}\n  - quantise: {}\n", kInput,
         "preprocessing.yaml line 5: step 2 (quantise): expected the order decode, crop and resize, normalise, layout, "
         "quantise, each once, got 'quantise' twice; move or remove it [VRG-PRE-001]"});
  check({"  - resize: {width: 4, height: 4}\n  - resize: {width: 4, height: 4}\n", kInput,
         "preprocessing.yaml line 5: step 2 (resize): expected one resize step, got another; remove one of the two "
         "[VRG-PRE-001]"});
}

TEST(Definition, Shapes) {
  check({"  - resize: {width: 5, height: 4}\n", kInput,
         "preprocessing.yaml line 4: step 1 (resize): expected the input 'in' to have the shape [1,4,5,3], which the "
         "steps give, got "
         "UINT8[1,4,4,3]; change 'resize', 'crop' or 'layout' so that they agree [VRG-PRE-002]"});
  check({"  - resize: {width: 4, height: 4}\n", test::spec(DataType::fp32, {1, 3, 4, 4}),
         "preprocessing.yaml line 1: expected the input 'in' to have the shape [1,4,4,3], which the steps give, got "
         "FP32[1,3,4,4]; write 'layout: nchw' [VRG-PRE-002]"});
  check(
      {"  - layout: nchw\n", test::spec(DataType::fp32, {1, 3, -1, 4}),
       "preprocessing.yaml line 1: expected a resize step, as the size of the input 'in' FP32[1,3,-1,4] is not fixed; "
       "add 'resize: {width: …, height: …}' [VRG-PRE-002]"});
  check({"  - resize: {width: 4, height: 4}\n", test::spec(DataType::fp32, {2, 4, 4, 3}),
         "preprocessing.yaml line 4: step 1 (resize): expected the input 'in' to have the shape [1,4,4,3], which the "
         "steps give, got "
         "FP32[2,4,4,3]; change 'resize', 'crop' or 'layout' so that they agree [VRG-PRE-002]"});
}

TEST(Definition, Crops) {
  check(
      {"  - crop: {width: 4}\n", kInput,
       "preprocessing.yaml line 4: step 1 (crop): expected either 'width' and 'height', or 'fraction'; give one of the "
       "two [VRG-PRE-002]"});
  check(
      {"  - crop: {width: 4, height: 4, fraction: 0.5}\n", kInput,
       "preprocessing.yaml line 4: step 1 (crop): expected either 'width' and 'height', or 'fraction'; give one of the "
       "two [VRG-PRE-002]"});
  check({"  - resize: {width: 4, height: 4}\n  - crop: {width: 5, height: 4}\n", kInput,
         "preprocessing.yaml line 5: step 2 (crop): expected a crop of at most 4 × 4, which the resize step gives, got "
         "5 × 4; make it smaller [VRG-PRE-002]"});
}

TEST(Definition, Channels) {
  check({"  - decode: {colour: grey}\n", kInput,
         "preprocessing.yaml line 4: step 1 (decode): expected the input 'in' UINT8[1,4,4,3] to have 1 channels for "
         "'colour: grey'; write "
         "'decode: {colour: rgb}' [VRG-PRE-003]"});
  check({"  - decode: {colour: grey}\n  - normalise: {mean: [1, 2, 3]}\n", test::spec(DataType::fp32, {1, 4, 4, 1}),
         "preprocessing.yaml line 5: step 2 (normalise): expected 1 or 1 values in 'mean' for 'colour: grey', got 3 "
         "[VRG-PRE-005]"});
  check({"  - resize: {width: 4, height: 4, pad: [1, 2]}\n", kInput,
         "preprocessing.yaml line 4: step 1 (resize): expected 1 or 3 values in 'pad', got 2 [VRG-PRE-005]"});
}

TEST(Definition, ElementTypes) {
  check({"  - quantise: {}\n", test::spec(DataType::uint8, {1, 4, 4, 3}),
         "preprocessing.yaml line 4: step 1 (quantise): expected an input with a scale and a zero point, got 'in' "
         "UINT8[1,4,4,3] without them; remove the step [VRG-PRE-004]"});
  check({"  - quantise: {}\n", test::spec(DataType::uint8, {1, 4, 4, 3}, Quantisation{0.0F, 0}),
         "preprocessing.yaml line 4: step 1 (quantise): expected a scale above 0 in the input 'in', got 0; convert the "
         "model anew [VRG-PRE-004]"});
  check({"  - quantise: {}\n", test::spec(DataType::fp32, {1, 4, 4, 3}, Quantisation{0.5F, 0}),
         "preprocessing.yaml line 1: expected an integer input for 'quantise', got 'in' FP32[1,4,4,3]; remove the step "
         "[VRG-PRE-004]"});
  check(
      {"  - decode: {}\n", test::spec(DataType::bytes, {1}),
       "preprocessing.yaml line 1: expected an input of numbers, got 'in' BYTES[1]; use 'sample: tensor' without steps "
       "for it [VRG-PRE-004]"});
}

TEST(Definition, TensorSamplesTakeNoPictureSteps) {
  const auto result = test::compile("version: 1\nsample: tensor\nsteps:\n  - decode: {}\n", kInput);
  ASSERT_FALSE(result);
  EXPECT_EQ(
      result.error().text(),
      "preprocessing.yaml line 4: step 1 (decode): 'decode' works on pictures, and this is 'sample: tensor'; remove "
      "the step or write 'sample: image' [VRG-PRE-006]");
}

TEST(Definition, ResolvesVariableDimensions) {
  auto preprocessor = test::compile(test::image_steps("  - resize: {width: 6, height: 4}\n"),
                                    test::spec(DataType::fp32, {-1, -1, -1, 3}));
  ASSERT_TRUE(preprocessor);
  const auto shape = preprocessor->input_shape();
  EXPECT_EQ(std::vector<std::int64_t>(shape.begin(), shape.end()), (std::vector<std::int64_t>{1, 4, 6, 3}));
  EXPECT_TRUE(preprocessor->takes_image());
  EXPECT_EQ(preprocessor->colour(), PixelFormat::rgb);
}

}  // namespace
}  // namespace verge::processing
