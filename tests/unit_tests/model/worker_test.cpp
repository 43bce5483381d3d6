// A worker: every way in, what it refuses, and that one call leaves nothing behind for the next.
#include <gmock/gmock.h>

#include "fake_package.hpp"

namespace verge::processing {
namespace {

using test::failure;
using test::FakePackage;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Workers : public test::WithFakeEngine {};

TEST_F(Workers, PredictsAPictureAsAFileAndInMemory) {
  Worker one = worker(test::classifier());
  const auto content = test::picture(16, 16, 0, {10, 20, 200});
  const auto encoded = one.predict_encoded(content);
  ASSERT_TRUE(encoded) << encoded.error().text();
  ASSERT_EQ((*encoded)->classes.size(), 3U);
  EXPECT_EQ((*encoded)->classes[0].label, "bird");
  EXPECT_NEAR((*encoded)->classes[0].score, 200.0F / 255.0F, 1e-6F);
  EXPECT_GT(one.times().decode_ns, 0);
  EXPECT_GT(one.times().total_ns(), one.times().decode_ns);
  EXPECT_EQ(one.postprocessor().kind(), PredictionKind::classes);

  Image image(16, 16, PixelFormat::bgr);
  for (int y = 0; y < 16; ++y) std::memset(image.row(y), 0, 48);
  image.row(0)[2] = 250;  // Red.
  const auto frame = one.predict_image(image.view());
  ASSERT_TRUE(frame) << frame.error().text();
  EXPECT_EQ((*frame)->classes[0].label, "cat");
  EXPECT_EQ(one.times().decode_ns, 0);
}

TEST_F(Workers, RefusesTheWrongKindOfSample) {
  Worker pictures = worker(test::classifier());
  EXPECT_THAT(failure(pictures.predict_values(test::bytes_of<float>({1, 2, 3, 4}))),
              HasSubstr("model 'classifier' takes pictures ('sample: image'); got another sample [VRG-MDL-004]"));
  Worker values = worker(test::numbers());
  EXPECT_THAT(failure(values.predict_encoded(test::picture(4, 4))),
              HasSubstr("takes no pictures; got a picture [VRG-MDL-004]"));
  EXPECT_THAT(failure(values.predict_image(Image(4, 4, PixelFormat::rgb).view())), HasSubstr("VRG-MDL-004"));
}

TEST_F(Workers, RawValuesAndTensors) {
  Worker one = worker(test::numbers());
  const auto values = test::bytes_of<float>({1, 2, 3, 4});
  const auto predicted = one.predict_values(values);
  ASSERT_TRUE(predicted) << predicted.error().text();
  EXPECT_EQ((*predicted)->kind, PredictionKind::tensors);
  EXPECT_THAT(one.last_outputs()[0].as<float>(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(failure(one.predict_values(test::bytes_of<float>({1, 2}))), HasSubstr("VRG-PRE-012"));
  EXPECT_TRUE(one.predict_tensors(std::vector<test::Bytes>{values}));
  EXPECT_THAT(failure(one.predict_tensors({})), HasSubstr("expected 1 input tensors, got 0 [VRG-MDL-005]"));
  EXPECT_THAT(failure(one.predict_tensors(std::vector<test::Bytes>{{}})),
              HasSubstr("expected 16 bytes for input 'x' (FP32[1,4]), got 0 [VRG-MDL-005]"));
}

TEST_F(Workers, BadPicturesAreRefusedAndTheNextIsGood) {
  Worker one = worker(test::classifier());
  EXPECT_THAT(failure(one.predict_encoded(test::bytes_of<std::uint8_t>({'n', 'o'}))), HasSubstr("VRG-IMG-001"));
  auto cut = test::picture(16, 16);
  cut.resize(40);
  EXPECT_THAT(failure(one.predict_encoded(cut)), HasSubstr("VRG-IMG-003"));
  EXPECT_THAT(failure(one.predict_image({})), HasSubstr("VRG-PRE-010"));
  EXPECT_TRUE(one.predict_encoded(test::picture(7, 9)));
}

TEST_F(Workers, InputsTakeAShapeThatFits) {
  FakePackage package = test::numbers();
  package.inputs = R"([{"name": "x", "datatype": "FP32", "shape": [-1, 4]}])";
  package.outputs = R"([{"name": "y", "datatype": "FP32", "shape": [-1, 4]}])";
  package.model = "input x FP32 [-1,4]\noutput y FP32 [-1,4]\nfunction identity\n";
  Worker one = worker(package);
  const std::vector<std::int64_t> three{3, 4};
  const auto tensor = one.input(0, three);
  ASSERT_TRUE(tensor) << tensor.error().text();
  ASSERT_EQ(tensor->size_bytes, 48U);
  for (float& value : tensor->as<float>()) value = 2;
  const auto outputs = one.infer();
  ASSERT_TRUE(outputs);
  EXPECT_THAT((*outputs)[0].shape, ElementsAre(3, 4));
  for (const auto& wrong : std::vector<std::vector<std::int64_t>>{{3, 5}, {4}, {0, 4}, {-1, 4}, {1, 1, 4}}) {
    EXPECT_THAT(failure(one.input(0, wrong)), HasSubstr("expected input 'x' as FP32[-1,4], got the shape"));
  }
}

// An API call may have left another batch in the worker that a pipeline gets next.
TEST_F(Workers, ABatchLeavesNothingBehind) {
  FakePackage package = test::classifier();
  package.inputs = R"([{"name": "picture", "datatype": "UINT8", "shape": [-1, 16, 16, 3]}])";
  package.model =
      "input picture UINT8 [-1,16,16,3]\noutput scores UINT8 [1,4] 0.00392156862745098 0\nfunction identity\n";
  Worker one = worker(package);
  const std::vector<std::int64_t> five{5, 16, 16, 3};
  ASSERT_TRUE(one.input(0, five));
  const auto predicted = one.predict_encoded(test::picture(16, 16, 0, {0, 0, 0, 99}));
  ASSERT_TRUE(predicted) << predicted.error().text();
  EXPECT_EQ((*predicted)->classes[0].label, "fish");

  package = test::numbers();
  package.inputs = R"([{"name": "x", "datatype": "FP32", "shape": [-1, 4]}])";
  package.model = "input x FP32 [-1,4]\noutput y FP32 [1,4]\nfunction identity\n";
  Worker values = worker(package);
  const std::vector<std::int64_t> two{2, 4};
  ASSERT_TRUE(values.input(0, two));
  EXPECT_TRUE(values.predict_values(test::bytes_of<float>({1, 2, 3, 4})));
  ASSERT_TRUE(values.input(0, two));
  EXPECT_TRUE(values.predict_tensors(std::vector<test::Bytes>{test::bytes_of<float>({1, 2, 3, 4})}));
}

TEST_F(Workers, AModelThatFailsSaysSoAndMayGoOn) {
  FakePackage package = test::numbers();
  package.model = "input x FP32 [1,4]\noutput y FP32 [1,4]\nfunction fail out of smoke\n";
  Worker one = worker(package);
  EXPECT_THAT(failure(one.predict_values(test::bytes_of<float>({1, 2, 3, 4}))), HasSubstr("out of smoke"));
  EXPECT_THAT(failure(one.infer()), HasSubstr("out of smoke"));
}

TEST_F(Workers, AnotherPreprocessingCanBeTried) {
  const auto model = load(test::classifier());
  ASSERT_TRUE(model);
  wire::Preprocessing other = (*model)->package().preprocessing;
  wire::PreprocessStep decode;
  decode.decode = wire::DecodeStep{};
  decode.decode->colour = wire::Colour::bgr;
  other.steps.insert(other.steps.begin(), decode);
  auto swapped = (*model)->create_worker(other);
  ASSERT_TRUE(swapped) << swapped.error().text();
  const auto predicted = swapped->predict_encoded(test::picture(16, 16, 0, {255, 0, 0}));
  ASSERT_TRUE(predicted);
  EXPECT_EQ((*predicted)->classes[0].label, "bird");  // Red is third now.
  other.steps.clear();
  other.sample = wire::SampleKind::tensor;
  EXPECT_TRUE((*model)->create_worker(other));
}

TEST_F(Workers, MasksAndBoxesComeInTheModelsPixelsForTensors) {
  Worker masks = worker(test::segmenter());
  test::Bytes picture(768, std::byte{0});
  for (std::size_t i = 0; i < 128; ++i) picture[i] = std::byte{255};
  const auto mask = masks.predict_tensors(std::vector<test::Bytes>{picture});
  ASSERT_TRUE(mask) << mask.error().text();
  EXPECT_EQ((*mask)->mask.width, 16);
  EXPECT_EQ((*mask)->mask.classes[0], 1);
  EXPECT_EQ((*mask)->mask.classes[255], 0);

  Worker boxes = worker(test::detector());
  const auto found = boxes.predict_tensors(std::vector<test::Bytes>{
      picture, test::bytes_of<float>({0, 0, 0.5F, 1, 0.5F, 0.5F, 1, 1}), test::bytes_of<float>({1, 2}),
      test::bytes_of<float>({0.9F, 0.8F}), test::bytes_of<float>({2})});
  ASSERT_TRUE(found) << found.error().text();
  ASSERT_EQ((*found)->boxes.size(), 2U);
  EXPECT_EQ((*found)->boxes[0].label, "dog");
  EXPECT_EQ((*found)->boxes[0].x1, 16);
  EXPECT_EQ((*found)->boxes[0].y1, 8);
}

TEST_F(Workers, ChannelsFirst) {
  FakePackage package = test::segmenter();
  package.inputs = R"([{"name": "picture", "datatype": "UINT8", "shape": [1, 3, 16, 16]}])";
  package.model =
      "input picture UINT8 [1,3,16,16]\noutput map UINT8 [1,16,16,1] 0.00392156862745098 0\nfunction identity\n";
  package.preprocessing =
      "version: 1\nsample: image\nsteps:\n  - resize: { width: 16, height: 16 }\n  - layout: nchw\n";
  Worker one = worker(package);
  const auto mask = one.predict_tensors(std::vector<test::Bytes>{test::Bytes(768, std::byte{255})});
  ASSERT_TRUE(mask) << mask.error().text();
  EXPECT_EQ((*mask)->mask.height, 16);
  ASSERT_TRUE(one.predict_encoded(test::picture(32, 64, 255)));
}

}  // namespace
}  // namespace verge::processing
