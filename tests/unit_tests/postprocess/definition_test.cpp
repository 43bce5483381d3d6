#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "outputs.hpp"

namespace verge::processing {
namespace {

struct Bad {
  const char* steps;
  std::vector<TensorSpec> outputs;
  const char* expected;
  std::vector<std::string> labels = {};
};

TensorSpec output(std::vector<std::int64_t> shape) {
  return {"out", DataType::fp32, std::move(shape), {}};
}

void check(const Bad& bad) {
  const auto result = test::compile(test::steps(bad.steps), bad.labels, test::kInput, bad.outputs);
  ASSERT_FALSE(result) << bad.steps;
  EXPECT_EQ(result.error().text(), bad.expected);
}

TEST(Definition, Order) {
  check({"  - top_k: {}\n  - softmax: {}\n",
         {output({1, 5})},
         "postprocessing.yaml line 4: step 2 (softmax): expected only score_threshold and nms after 'top_k', got "
         "'softmax'; move or remove it [VRG-PST-001]"});
  check({"  - top_k: {}\n  - nms: {}\n",
         {output({1, 5})},
         "postprocessing.yaml line 4: step 2 (nms): expected ssd_detections, ssd_boxes or yolo_grid before it, got "
         "'top_k'; 'nms' works on boxes [VRG-PST-001]"});
  check({"  - score_threshold: {score: 0.5}\n",
         {output({1, 5})},
         "postprocessing.yaml line 3: step 1 (score_threshold): expected ssd_detections, ssd_boxes or yolo_grid before "
         "it, got nothing; 'score_threshold' works on boxes [VRG-PST-001]"});
  check({"  - softmax: {}\n  - sigmoid: {}\n",
         {output({1, 5})},
         "postprocessing.yaml line 4: step 2 (sigmoid): expected one activation of the output 'out' FP32[1,5], got "
         "another; remove one [VRG-PST-001]"});
}

TEST(Definition, NoActivationOfABoxHead) {
  check({"  - sigmoid: {}\n  - yolo_grid: {decode: none}\n",
         {output({1, 5, 6})},
         "postprocessing.yaml line 4: step 2 (yolo_grid): expected the output 'out' FP32[1,5,6] without softmax or "
         "sigmoid "
         "before it, got one; use 'activation' of ssd_boxes or yolo_grid [VRG-PST-001]"});
}

TEST(Definition, Outputs) {
  check({"  - top_k: {output: logits}\n",
         {output({1, 5})},
         "postprocessing.yaml line 3: step 1 (top_k): expected an output of the model (out), got 'logits' "
         "[VRG-PST-002]"});
  check(
      {"  - ssd_detections: {}\n",
       {output({1, 5, 4})},
       "postprocessing.yaml line 3: step 1 (ssd_detections): expected a model with at least 2 outputs, got 1; name the "
       "right one [VRG-PST-002]"});
}

TEST(Definition, Shapes) {
  check({"  - top_k: {}\n",
         {output({1, 5, 4})},
         "postprocessing.yaml line 3: step 1 (top_k): expected one row of classes such as [1,1000], got 'out' "
         "FP32[1,5,4]; name another output [VRG-PST-003]"});
  check(
      {"  - segmentation: {method: argmax}\n",
       {output({1, 8, 8, 1})},
       "postprocessing.yaml line 3: step 1 (segmentation): expected a map [1,height,width,2…256] for method 'argmax', "
       "got 'out' FP32[1,8,8,1]; correct 'method' or 'layout', or give 'width' and 'height' of a flat map "
       "[VRG-PST-003]"});
  check({"  - segmentation: {method: threshold}\n",
         {output({1, 64})},
         "postprocessing.yaml line 3: step 1 (segmentation): expected a map [1,height,width] of one channel for method "
         "'threshold', got 'out' FP32[1,64]; correct 'method' or 'layout', or give 'width' and 'height' of a flat map "
         "[VRG-PST-003]"});
  check({"  - ssd_detections: {boxes: out, classes: out, scores: out, count: out}\n",
         {output({1, 10})},
         "postprocessing.yaml line 3: step 1 (ssd_detections): expected boxes [1,N,4], got 'out' FP32[1,10]; name the "
         "right output in 'boxes' [VRG-PST-003]"});
  check(
      {"  - ssd_boxes: {boxes: out, scores: out, anchors: {layers: [2]}}\n",
       {output({1, 10, 4})},
       "postprocessing.yaml line 3: step 1 (ssd_boxes): expected class values [1,12,C], as 'anchors' gives 12 of them, "
       "got 'out' FP32[1,10,4]; correct 'anchors', or name the right output in 'scores' [VRG-PST-003]"});
  check({"  - yolo_grid: {}\n",
         {output({1, 20, 85})},
         "postprocessing.yaml line 3: step 1 (yolo_grid): expected 21 boxes for an input of 32 × 32 with these strides "
         "and anchors, got 'out' FP32[1,20,85]; correct 'strides', 'anchors' or 'channels_first', or write 'decode: "
         "none' when the model decodes them itself [VRG-PST-003]"});
  check(
      {"  - yolo_grid: {decode: none}\n",
       {output({1, 20, 5})},
       "postprocessing.yaml line 3: step 1 (yolo_grid): expected a head [1,N,values] with at least 6 values a box, got "
       "'out' FP32[1,20,5]; correct 'channels_first' or 'objectness', or name another output [VRG-PST-003]"});
}

TEST(Definition, ValuesThatDoNotFitTogether) {
  check({"  - segmentation: {method: labels, width: 8}\n",
         {output({1, 64})},
         "postprocessing.yaml line 3: step 1 (segmentation): expected both 'width' and 'height', or neither; add the "
         "other [VRG-PST-004]"});
  check({"  - yolo_grid: {decode: sigmoid, strides: [8, 16], anchors: [[1, 2]]}\n",
         {output({1, 20, 85})},
         "postprocessing.yaml line 3: step 1 (yolo_grid): expected 'anchors' with 2 lists of width, height pairs, one "
         "for "
         "each stride, got 1 [VRG-PST-004]"});
  check({"  - ssd_boxes: {boxes: out, scores: out, anchors: {layers: [2], min_scale: 0.5, max_scale: 0.4}}\n",
         {output({1, 12, 4})},
         "postprocessing.yaml line 3: step 1 (ssd_boxes): expected max_scale of at least min_scale 0.5, got 0.4 "
         "[VRG-PST-004]"});
}

TEST(Definition, TheNumberOfAnchorsIsBounded) {
  check({"  - ssd_boxes: {boxes: out, scores: out, anchors: {layers: [1024, 1024]}}\n",
         {output({1, 12, 4})},
         "postprocessing.yaml line 3: step 1 (ssd_boxes): expected at most 1000000 anchors, got 9437184; correct "
         "'layers' "
         "[VRG-PST-004]"});
  const auto result = test::compile(test::steps("  - yolo_grid: {strides: [1]}\n"), {},
                                    {"in", DataType::fp32, {1, 65536, 65536, 3}, {}}, std::vector{output({1, -1, 85})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().id(), "VRG-PST-004");
}

TEST(Definition, Labels) {
  check({"  - top_k: {}\n",
         {output({1, 5})},
         "postprocessing.yaml line 3: step 1 (top_k): expected at least 5 labels for 5 classes with label_offset 0, "
         "got 4; "
         "complete the label file or correct label_offset [VRG-PST-005]",
         {"a", "b", "c", "d"}});
}

TEST(Definition, VariableShapesAreCheckedWhenTheyAreKnown) {
  const std::vector<TensorSpec> outputs{output({-1, -1, 85})};
  auto result = test::compile(test::steps("  - yolo_grid: {}\n"), {}, test::kInput, outputs);
  ASSERT_TRUE(result);
  std::vector<float> memory(20 * 85);
  const std::array<std::int64_t, 3> shape{1, 20, 85};
  const TensorView view{DataType::fp32, shape, reinterpret_cast<std::byte*>(memory.data()), memory.size() * 4};
  Prediction prediction;
  const auto run = result->run(std::span(&view, 1), test::whole(32, 32), prediction);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().text(),
            "output 'out': expected FP32[-1,-1,85] as the model says, got [1,20,85] for an input of 32 × 32 "
            "[VRG-PST-010]");
}

}  // namespace
}  // namespace verge::processing
