// Boxes: detection heads to boxes in source pixels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "definition.hpp"
#include "verge/processing/placement.hpp"
#include "verge/processing/prediction.hpp"

namespace verge::processing {

/// Most boxes that are compared with each other: bounds the work that a hostile or broken model can cause.
inline constexpr std::size_t kMostCandidates = 8192;

/// Turns heads into boxes. Keeps its scratch memory. Boxes are made in model pixels; finish() brings them to the
/// source.
class BoxMaker {
 public:
  void start(float least_score) {
    least_score_ = least_score;
    boxes_.clear();
  }
  void add_detections(std::span<const float> boxes, std::span<const float> classes, std::span<const float> scores,
                      float count, ImageSize model);
  void add_ssd(const SsdBoxes& step, std::span<const float> codes, std::span<const float> scores, ImageSize model);
  void add_yolo(const YoloGrid& step, std::span<const float> head, HeadShape shape);
  /// Filters, moves to source pixels, clips, and sorts: the best first. Labels stay empty.
  void finish(std::span<const BoxFilter> filters, const Placement& placement, std::vector<Box>& out);

 private:
  void add(float x0, float y0, float x1, float y1, int class_index, float score);
  void best_classes(const YoloGrid& step, std::span<const float> head, HeadShape shape);
  void suppress(const wire::NmsStep& step);
  void keep_best(std::size_t most);

  float least_score_ = 0;
  std::vector<Box> boxes_;
  std::vector<float> best_;
  std::vector<std::int32_t> best_class_;
  std::vector<float> sums_;
};

/// Intersection over union.
[[nodiscard]] float overlap(const Box& a, const Box& b) noexcept;

}  // namespace verge::processing
