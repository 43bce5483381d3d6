#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "outputs.hpp"

namespace verge::processing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(TopK, GivesTheBestWithTheirLabels) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 4}, {0.1F, 0.7F, 0.7F, 0.2F});
  const auto made = test::make(test::steps("  - top_k: {k: 3}\n"), outputs, {"a", "b", "c", "d"});
  const auto& classes = made.prediction.classes;
  ASSERT_EQ(classes.size(), 3U);
  EXPECT_EQ(made.prediction.kind, PredictionKind::classes);
  EXPECT_EQ(classes[0].class_index, 1);  // Of equals the first.
  EXPECT_EQ(classes[0].label, "b");
  EXPECT_EQ(classes[1].class_index, 2);
  EXPECT_EQ(classes[2].label, "d");
}

TEST(TopK, LabelOffsetMovesTheLine) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 3}, {0.5F, 0.3F, 0.2F});
  const auto made = test::make("version: 1\nlabel_offset: -1\nsteps:\n  - top_k: {}\n", outputs, {"cat", "dog"});
  ASSERT_EQ(made.prediction.classes.size(), 3U);
  EXPECT_EQ(made.prediction.classes[0].label, "");  // Background.
  EXPECT_EQ(made.prediction.classes[1].label, "cat");
  EXPECT_EQ(made.postprocessor->label(2), "dog");
  EXPECT_EQ(made.postprocessor->label(3), "");
}

TEST(TopK, DequantisesFirst) {
  test::Outputs outputs;
  outputs.add<std::int8_t>("out", DataType::int8, {1, 2}, {-128, 127}, Quantisation{1.0F / 256.0F, -128});
  const auto made = test::make(test::steps("  - dequantise: {}\n  - top_k: {}\n"), outputs);
  EXPECT_FLOAT_EQ(made.prediction.classes[0].score, 255.0F / 256.0F);
  EXPECT_FLOAT_EQ(made.prediction.classes[1].score, 0.0F);
}

TEST(Softmax, SumsToOne) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 3, 1, 1}, {1.0F, 2.0F, 3.0F});
  const auto made = test::make(test::steps("  - softmax: {}\n  - top_k: {}\n"), outputs);
  EXPECT_NEAR(made.prediction.classes[0].score, 0.66524094F, 1e-6);
  EXPECT_NEAR(made.prediction.classes[1].score, 0.24472848F, 1e-6);
  EXPECT_NEAR(made.prediction.classes[2].score, 0.09003057F, 1e-6);
}

TEST(Softmax, EndsWithNumbersWhateverComes) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 4}, {kInfinity, -kInfinity, std::nanf(""), kInfinity});
  const auto made = test::make(test::steps("  - softmax: {}\n  - top_k: {}\n"), outputs);
  EXPECT_FLOAT_EQ(made.prediction.classes[0].score, 0.5F);
  EXPECT_FLOAT_EQ(made.prediction.classes[1].score, 0.5F);
  EXPECT_FLOAT_EQ(made.prediction.classes[2].score, 0.0F);
}

TEST(Sigmoid, IsAppliedToEachValue) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 3}, {0.0F, -kInfinity, std::nanf("")});
  const auto made = test::make(test::steps("  - sigmoid: {output: out}\n  - top_k: {}\n"), outputs);
  EXPECT_FLOAT_EQ(made.prediction.classes[0].score, 0.5F);
  EXPECT_FLOAT_EQ(made.prediction.classes[1].score, 0.0F);
}

TEST(TopK, NotANumberComesLast) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 3}, {std::nanf(""), 1.0F, kInfinity});
  const auto made = test::make(test::steps("  - top_k: {k: 2}\n"), outputs);
  EXPECT_EQ(made.prediction.classes[0].class_index, 2);
  EXPECT_EQ(made.prediction.classes[1].class_index, 1);
}

TEST(Tensors, ComeRawWithoutSteps) {
  test::Outputs outputs;
  outputs.add<std::int8_t>("out", DataType::int8, {1, 2}, {1, 2}, Quantisation{0.5F, 0});
  const auto made = test::make("{version: 1, steps: []}", outputs);
  EXPECT_EQ(made.prediction.kind, PredictionKind::tensors);
  ASSERT_EQ(made.prediction.tensors.size(), 1U);
  EXPECT_EQ(made.prediction.tensors[0].datatype, DataType::int8);
  EXPECT_EQ(made.prediction.tensor_specs[0].name, "out");
}

TEST(Tensors, ComeRealAfterDequantise) {
  test::Outputs outputs;
  outputs.add<std::int8_t>("out", DataType::int8, {1, 2}, {1, 2}, Quantisation{0.5F, 0});
  outputs.add<float>("soft", DataType::fp32, {1, 2}, {0, 0});
  const auto made = test::make(test::steps("  - dequantise: {}\n  - softmax: {output: soft}\n"), outputs);
  ASSERT_EQ(made.prediction.tensors.size(), 2U);
  EXPECT_THAT(made.prediction.tensors[0].as<const float>(), testing::ElementsAre(0.5F, 1.0F));
  EXPECT_THAT(made.prediction.tensors[1].as<const float>(), testing::ElementsAre(0.5F, 0.5F));
  EXPECT_EQ(made.prediction.tensor_specs[0].datatype, DataType::fp32);
}

TEST(Run, RefusesTensorsThatAreNotAsTheModelSaid) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 3}, {1, 2, 3});
  auto made = test::make(test::steps("  - top_k: {}\n"), outputs);
  auto views = outputs.views();
  views[0].size_bytes = 8;
  EXPECT_EQ(made.postprocessor->run(views, {}, made.prediction).error().text(),
            "output 'out': expected FP32[1,3] as the model says, got [1,3] with 8 bytes [VRG-PST-010]");
  views = outputs.views();
  views[0].datatype = DataType::int32;
  EXPECT_EQ(made.postprocessor->run(views, {}, made.prediction).error().id(), "VRG-PST-010");
  EXPECT_EQ(made.postprocessor->run({}, {}, made.prediction).error().text(),
            "expected 1 outputs as the model says, got 0 [VRG-PST-010]");
}

}  // namespace
}  // namespace verge::processing
