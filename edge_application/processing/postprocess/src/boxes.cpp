#include "boxes.hpp"

#include <algorithm>
#include <cmath>

#include "activation.hpp"

namespace verge::processing {
namespace {

/// The best first; of equal scores the one that was made first, by its place, so that results repeat.
bool better(const Box& a, const Box& b) noexcept {
  if (a.score != b.score) return a.score > b.score;
  if (a.class_index != b.class_index) return a.class_index < b.class_index;
  if (a.y0 != b.y0) return a.y0 < b.y0;
  return a.x0 < b.x0;
}

float area(const Box& box) noexcept {
  return (box.x1 - box.x0) * (box.y1 - box.y0);
}

/// exp() of what a model says a logarithm of a size is: nothing is e^20 times its anchor.
float grown(float logarithm) noexcept {
  return std::exp(std::min(logarithm, 20.0F));
}

/// Value `value` of row `row`.
struct Head {
  const float* data;
  std::size_t row_stride;
  std::size_t value_stride;
  [[nodiscard]] float at(std::size_t row, std::size_t value) const noexcept {
    return data[row * row_stride + value * value_stride];
  }
};

Head head_of(const YoloGrid& step, std::span<const float> values, HeadShape shape) noexcept {
  return step.step.channels_first ? Head{values.data(), 1, shape.rows} : Head{values.data(), shape.values, 1};
}

}  // namespace

float overlap(const Box& a, const Box& b) noexcept {
  const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (!(width > 0) || !(height > 0)) return 0;
  const float both = width * height;
  const float either = area(a) + area(b) - both;
  return either > 0 ? both / either : 0;
}

void BoxMaker::add(float x0, float y0, float x1, float y1, int class_index, float score) {
  // Comparisons with NaN are false: what is not a number is left out.
  static constexpr float kFar = 1e6F;
  if (!(score >= least_score_) || !(x1 > x0) || !(y1 > y0)) return;
  const auto tame = [](float value) { return std::clamp(value, -kFar, kFar); };
  boxes_.push_back({tame(x0), tame(y0), tame(x1), tame(y1), class_index, score, {}});
  if (boxes_.size() >= 2 * kMostCandidates) keep_best(kMostCandidates);
}

void BoxMaker::keep_best(std::size_t most) {
  if (boxes_.size() <= most) return;
  std::nth_element(boxes_.begin(), boxes_.begin() + static_cast<std::ptrdiff_t>(most), boxes_.end(), better);
  boxes_.resize(most);
}

void BoxMaker::add_detections(std::span<const float> boxes, std::span<const float> classes,
                              std::span<const float> scores, float count, ImageSize model) {
  const std::size_t rows = std::min({boxes.size() / 4, classes.size(), scores.size()});
  const auto valid = count > 0 ? static_cast<std::size_t>(std::min(count, static_cast<float>(rows))) : 0;
  const auto width = static_cast<float>(model.width);
  const auto height = static_cast<float>(model.height);
  for (std::size_t i = 0; i < std::min(valid, rows); ++i) {
    constexpr float kMostClass = 1e6F;
    if (!(classes[i] >= 0 && classes[i] <= kMostClass)) continue;
    const float* box = boxes.data() + 4 * i;
    add(box[1] * width, box[0] * height, box[3] * width, box[2] * height, static_cast<int>(std::lround(classes[i])),
        scores[i]);
  }
}

void BoxMaker::add_ssd(const SsdBoxes& step, std::span<const float> codes, std::span<const float> scores,
                       ImageSize model) {
  const std::size_t rows = step.anchors.size();
  if (rows == 0 || codes.size() < rows * 4) return;
  const std::size_t classes = scores.size() / rows;
  const std::size_t first = step.background ? 1 : 0;
  sums_.resize(classes);
  for (std::size_t i = 0; i < rows; ++i) {
    std::span<const float> row = scores.subspan(i * classes, classes);
    if (step.activation == Activation::softmax) {
      std::copy(row.begin(), row.end(), sums_.begin());
      softmax(sums_.data(), classes, 1);
      row = sums_;
    }
    std::size_t best = first;
    for (std::size_t c = first; c < classes; ++c) {
      if (row[c] > row[best] || std::isnan(row[best])) best = c;
    }
    if (best >= classes) continue;
    const float score = step.activation == Activation::sigmoid ? sigmoid(row[best]) : row[best];
    if (!(score >= least_score_)) continue;
    const Anchor& anchor = step.anchors[i];
    const float* code = codes.data() + 4 * i;
    const float y = code[0] / step.scale[0] * anchor.height + anchor.y;
    const float x = code[1] / step.scale[1] * anchor.width + anchor.x;
    const float half_height = grown(code[2] / step.scale[2]) * anchor.height / 2;
    const float half_width = grown(code[3] / step.scale[3]) * anchor.width / 2;
    const auto width = static_cast<float>(model.width);
    const auto height = static_cast<float>(model.height);
    add((x - half_width) * width, (y - half_height) * height, (x + half_width) * width, (y + half_height) * height,
        static_cast<int>(best - first), score);
  }
}

/// For each row its best class and that one's raw value; with softmax also the sum that makes it a score.
void BoxMaker::best_classes(const YoloGrid& step, std::span<const float> values, HeadShape shape) {
  const Head head = head_of(step, values, shape);
  const std::size_t first = step.step.objectness ? 5 : 4;
  best_.resize(shape.rows);
  best_class_.assign(shape.rows, 0);
  for (std::size_t i = 0; i < shape.rows; ++i) best_[i] = head.at(i, first);
  const auto consider = [&](std::size_t row, std::size_t value) {
    const float found = head.at(row, value);
    if (found > best_[row] || std::isnan(best_[row])) {
      best_[row] = found;
      best_class_[row] = static_cast<std::int32_t>(value - first);
    }
  };
  if (step.step.channels_first) {  // In the order of the memory, either way.
    for (std::size_t v = first + 1; v < shape.values; ++v) {
      for (std::size_t i = 0; i < shape.rows; ++i) consider(i, v);
    }
  } else {
    for (std::size_t i = 0; i < shape.rows; ++i) {
      for (std::size_t v = first + 1; v < shape.values; ++v) consider(i, v);
    }
  }
  if (step.activation != Activation::softmax) return;
  sums_.assign(shape.rows, 0.0F);
  for (std::size_t i = 0; i < shape.rows; ++i) {
    for (std::size_t v = first; v < shape.values; ++v) sums_[i] += std::exp(head.at(i, v) - best_[i]);
  }
}

void BoxMaker::add_yolo(const YoloGrid& step, std::span<const float> values, HeadShape shape) {
  const std::size_t first = step.step.objectness ? 5 : 4;
  if (shape.values <= first || values.size() < shape.rows * shape.values) return;
  if (!step.cells.empty() && step.cells.size() != shape.rows) return;
  const Head head = head_of(step, values, shape);
  best_classes(step, values, shape);
  for (std::size_t i = 0; i < shape.rows; ++i) {
    float score = best_[i];
    if (step.activation == Activation::sigmoid) score = sigmoid(score);
    if (step.activation == Activation::softmax) score = 1.0F / sums_[i];
    if (step.step.objectness) {
      const float object = head.at(i, 4);
      score *= step.activation == Activation::none ? object : sigmoid(object);
    }
    if (!(score >= least_score_)) continue;
    float x = head.at(i, 0);
    float y = head.at(i, 1);
    float width = head.at(i, 2);
    float height = head.at(i, 3);
    if (step.step.decode == wire::GridDecode::exp) {
      const GridCell& cell = step.cells[i];
      x = (x + cell.x) * cell.stride;
      y = (y + cell.y) * cell.stride;
      width = grown(width) * cell.stride;
      height = grown(height) * cell.stride;
    } else if (step.step.decode == wire::GridDecode::sigmoid) {
      const GridCell& cell = step.cells[i];
      x = (2 * sigmoid(x) - 0.5F + cell.x) * cell.stride;
      y = (2 * sigmoid(y) - 0.5F + cell.y) * cell.stride;
      width = std::pow(2 * sigmoid(width), 2.0F) * cell.anchor_width;
      height = std::pow(2 * sigmoid(height), 2.0F) * cell.anchor_height;
    }
    add(x - width / 2, y - height / 2, x + width / 2, y + height / 2, best_class_[i], score);
  }
}

void BoxMaker::suppress(const wire::NmsStep& step) {
  const auto most = static_cast<std::size_t>(step.max_boxes);
  const auto iou = static_cast<float>(step.iou);
  std::sort(boxes_.begin(), boxes_.end(), better);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < boxes_.size() && kept < most; ++i) {
    const Box candidate = boxes_[i];
    bool stays = true;
    for (std::size_t k = 0; k < kept && stays; ++k) {
      const bool compared = !step.class_wise || boxes_[k].class_index == candidate.class_index;
      stays = !(compared && overlap(boxes_[k], candidate) > iou);
    }
    if (stays) boxes_[kept++] = candidate;
  }
  boxes_.resize(kept);
}

void BoxMaker::finish(std::span<const BoxFilter> filters, const Placement& placement, std::vector<Box>& out) {
  keep_best(kMostCandidates);
  for (const BoxFilter& filter : filters) {
    if (filter.least_score) {
      std::erase_if(boxes_, [&](const Box& box) { return !(box.score >= *filter.least_score); });
    } else {
      suppress(filter.nms);
    }
  }
  std::sort(boxes_.begin(), boxes_.end(), better);
  out.clear();
  const auto width = static_cast<float>(placement.source_width);
  const auto height = static_cast<float>(placement.source_height);
  for (Box box : boxes_) {
    box.x0 = std::clamp((box.x0 - placement.offset_x) / placement.scale_x, 0.0F, width);
    box.x1 = std::clamp((box.x1 - placement.offset_x) / placement.scale_x, 0.0F, width);
    box.y0 = std::clamp((box.y0 - placement.offset_y) / placement.scale_y, 0.0F, height);
    box.y1 = std::clamp((box.y1 - placement.offset_y) / placement.scale_y, 0.0F, height);
    if (box.x1 > box.x0 && box.y1 > box.y0) out.push_back(box);
  }
}

}  // namespace verge::processing
