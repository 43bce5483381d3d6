#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "outputs.hpp"

namespace verge::processing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void expect_box(const Box& box, float x0, float y0, float x1, float y1) {
  EXPECT_NEAR(box.x0, x0, 1e-3);
  EXPECT_NEAR(box.y0, y0, 1e-3);
  EXPECT_NEAR(box.x1, x1, 1e-3);
  EXPECT_NEAR(box.y1, y1, 1e-3);
}

test::Outputs detections(const std::vector<float>& boxes, const std::vector<float>& classes,
                         const std::vector<float>& scores, float count) {
  const auto n = static_cast<std::int64_t>(classes.size());
  test::Outputs outputs;
  outputs.add<float>("boxes", DataType::fp32, {1, n, 4}, boxes).add<float>("classes", DataType::fp32, {1, n}, classes);
  outputs.add<float>("scores", DataType::fp32, {1, n}, scores).add<float>("count", DataType::fp32, {1}, {count});
  return outputs;
}

TEST(SsdDetections, AreBroughtToTheSourceAndClipped) {
  auto outputs =
      detections({0.25F, 0.5F, 0.75F, 1.5F, 0, 0, 0.5F, 0.5F, 0, 0, 1, 1}, {2, 0, 1}, {0.6F, 0.9F, 0.99F}, 2);
  const auto made = test::make(test::steps("  - ssd_detections: {}\n"), outputs, {"a", "b", "c"}, test::whole(64, 320));
  ASSERT_EQ(made.prediction.boxes.size(), 2U);  // `count` leaves the third out.
  expect_box(made.prediction.boxes[0], 0, 0, 32, 160);
  EXPECT_EQ(made.prediction.boxes[0].label, "a");
  expect_box(made.prediction.boxes[1], 32, 80, 64, 240);
  EXPECT_EQ(made.prediction.boxes[1].class_index, 2);
}

TEST(SsdDetections, ALetterboxIsUndone) {
  auto outputs = detections({0.25F, 0, 0.75F, 1}, {0}, {0.5F}, 1);
  // 100 × 50 on 32 × 32: 32 × 16, eight rows of padding above.
  const Placement placement{0.32F, 0.32F, 0, 8, 100, 50, 32, 32, 0, 8, 32, 24};
  const auto made = test::make(test::steps("  - ssd_detections: {}\n"), outputs, {}, placement);
  expect_box(made.prediction.boxes.at(0), 0, 0, 100, 50);
}

TEST(SsdDetections, SurviveNumbersThatAreNone) {
  const float nan = std::nanf("");
  auto outputs = detections({nan, 0, 1, 1, 0, 0, kInfinity, kInfinity, 0, 0, 1, 1, 0, 0, 1, 1}, {0, 1, nan, 1e20F},
                            {0.9F, 0.8F, 0.7F, 0.6F}, kInfinity);
  const auto made = test::make(test::steps("  - ssd_detections: {}\n  - nms: {}\n"), outputs);
  ASSERT_EQ(made.prediction.boxes.size(), 1U);
  expect_box(made.prediction.boxes[0], 0, 0, 32, 32);
}

TEST(ScoreThreshold, LeavesOutWhatIsBelow) {
  auto outputs = detections({0, 0, 1, 1, 0, 0, 1, 1}, {0, 1}, {0.5F, 0.4999F}, 2);
  const auto made = test::make(test::steps("  - ssd_detections: {}\n  - score_threshold: {score: 0.5}\n"), outputs);
  ASSERT_EQ(made.prediction.boxes.size(), 1U);
  EXPECT_EQ(made.prediction.boxes[0].class_index, 0);
}

TEST(Nms, ComparesWithinAClassUnlessToldOtherwise) {
  // The second overlaps the first by 0.8, the third is of another class, the fourth stands apart.
  auto outputs =
      detections({0, 0, 1, 1, 0, 0, 1, 0.8F, 0, 0, 1, 1, 0, 0, 0.1F, 0.1F}, {0, 0, 1, 0}, {0.9F, 0.8F, 0.7F, 0.6F}, 4);
  EXPECT_EQ(test::make(test::steps("  - ssd_detections: {}\n  - nms: {}\n"), outputs).prediction.boxes.size(), 3U);
  EXPECT_EQ(test::make(test::steps("  - ssd_detections: {}\n  - nms: {iou: 0.81}\n"), outputs).prediction.boxes.size(),
            4U);
  EXPECT_EQ(test::make(test::steps("  - ssd_detections: {}\n  - nms: {class_wise: false}\n"), outputs)
                .prediction.boxes.size(),
            2U);
  EXPECT_EQ(
      test::make(test::steps("  - ssd_detections: {}\n  - nms: {max_boxes: 1}\n"), outputs).prediction.boxes.size(),
      1U);
}

TEST(YoloGrid, ExpIsYoloxs) {
  // 32 × 32, stride 16: four cells. The last cell has an object in its middle, 8 × 16 pixels.
  test::Outputs outputs;
  std::vector<float> rows(4 * 7, 0.0F);
  const float head[7] = {0.5F, 0.5F, std::log(0.5F), 0.0F, 0.9F, 0.1F, 0.8F};
  std::copy_n(head, 7, rows.begin() + 21);
  outputs.add<float>("out", DataType::fp32, {1, 4, 7}, rows);
  const auto made = test::make(
      test::steps("  - yolo_grid: {strides: [16]}\n  - score_threshold: {score: 0.3}\n  - nms: {}\n"), outputs);
  ASSERT_EQ(made.prediction.boxes.size(), 1U);
  expect_box(made.prediction.boxes[0], 20, 16, 28, 32);
  EXPECT_EQ(made.prediction.boxes[0].class_index, 1);
  EXPECT_FLOAT_EQ(made.prediction.boxes[0].score, 0.72F);
}

TEST(YoloGrid, SigmoidTakesAnchors) {
  // One stride of 32, two anchors: two rows. sigmoid(0) = 0.5: xy = 0.5 cells, wh = the anchor.
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 2, 6}, {0, 0, 0, 0, -9, 9, 0, 0, 0, 0, 9, 9});
  const auto made = test::make(
      test::steps("  - yolo_grid: {decode: sigmoid, strides: [32], anchors: [[4, 4, 10, 20]], activation: sigmoid}\n"
                  "  - score_threshold: {score: 0.5}\n"),
      outputs);
  ASSERT_EQ(made.prediction.boxes.size(), 1U);
  expect_box(made.prediction.boxes[0], 11, 6, 21, 26);
}

TEST(YoloGrid, ChannelsFirstIsYolov8s) {
  test::Outputs outputs;  // Two rows, two classes: cx, cy, w, h, class 0, class 1.
  outputs.add<float>("out", DataType::fp32, {1, 6, 2}, {10, 20, 10, 20, 4, 8, 6, 8, 0.1F, 0.9F, 0.7F, 0.2F});
  const auto made = test::make(test::steps("  - yolo_grid: {decode: none, objectness: false, channels_first: true}\n  "
                                           "- score_threshold: {score: 0.5}\n"),
                               outputs);
  ASSERT_EQ(made.prediction.boxes.size(), 2U);
  expect_box(made.prediction.boxes[0], 16, 16, 24, 24);
  EXPECT_EQ(made.prediction.boxes[0].class_index, 0);
  EXPECT_EQ(made.prediction.boxes[1].class_index, 1);
  expect_box(made.prediction.boxes[1], 8, 7, 12, 13);
}

TEST(YoloGrid, SoftmaxMakesScores) {
  test::Outputs outputs;
  outputs.add<float>("out", DataType::fp32, {1, 1, 6}, {10, 10, 4, 4, 0, std::log(3.0F)});
  const auto made =
      test::make(test::steps("  - yolo_grid: {decode: none, objectness: false, activation: softmax}\n"), outputs);
  EXPECT_NEAR(made.prediction.boxes.at(0).score, 0.75F, 1e-6);
}

TEST(SsdBoxes, DecodesCodesOfAnchors) {
  // One layer of one cell: 0.1 square, then 2:1 and 1:2 of scale 0.2, each in the middle.
  test::Outputs outputs;
  outputs.add<float>("codes", DataType::fp32, {1, 3, 4}, {0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0});
  outputs.add<float>("scores", DataType::fp32, {1, 3, 2}, {9, -9, -9, 9, -9, -9});
  const auto made = test::make(
      test::steps("  - ssd_boxes: {anchors: {layers: [1]}}\n  - score_threshold: {score: 0.5}\n"), outputs, {"thing"});
  ASSERT_EQ(made.prediction.boxes.size(), 1U);
  const float width = 0.2F * std::sqrt(2.0F) * 32;
  const float height = 0.2F / std::sqrt(2.0F) * 32;
  // ty = 10 moves by one anchor height.
  expect_box(made.prediction.boxes[0], 16 - width / 2, 16 + height / 2, 16 + width / 2, 16 + 1.5F * height);
  EXPECT_EQ(made.prediction.boxes[0].label, "thing");  // The background is not counted.
}

TEST(Boxes, AFloodOfCandidatesIsBounded) {
  constexpr std::int64_t kRows = 60'000;
  test::Outputs outputs;
  std::vector<float> rows;
  for (std::int64_t i = 0; i < kRows; ++i) {
    const auto at = static_cast<float>(i % 300);
    const std::vector<float> row{at / 10, at / 9, 5, 5, 1.0F, 0.5F + static_cast<float>(i) / 200'000};
    rows.insert(rows.end(), row.begin(), row.end());
  }
  outputs.add<float>("out", DataType::fp32, {1, kRows, 6}, rows);
  const auto made =
      test::make(test::steps("  - yolo_grid: {decode: none}\n  - nms: {iou: 1.0, max_boxes: 10000}\n"), outputs);
  EXPECT_LE(made.prediction.boxes.size(), 8192U);
  EXPECT_FLOAT_EQ(made.prediction.boxes.at(0).score, 0.5F + 59'999.0F / 200'000);
}

}  // namespace
}  // namespace verge::processing
