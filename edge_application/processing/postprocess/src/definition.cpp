#include "definition.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/base/text.hpp"

namespace verge::processing {
namespace {

constexpr std::size_t kMostValues = 4096;

Activation activation_of(wire::ScoreActivation activation) {
  switch (activation) {
    case wire::ScoreActivation::none: return Activation::none;
    case wire::ScoreActivation::sigmoid: return Activation::sigmoid;
    case wire::ScoreActivation::softmax: return Activation::softmax;
  }
  return Activation::none;
}

/// Size of the picture in a tensor of either layout; nothing when it is not fixed.
std::optional<ImageSize> picture_size(const TensorSpec& input) {
  const auto& shape = input.shape;
  if (shape.size() != 4) return std::nullopt;
  const auto few = [](std::int64_t channels) { return channels == 1 || channels == 3; };
  const std::size_t at = few(shape[1]) && !few(shape[3]) ? 2 : 1;
  constexpr std::int64_t kMost = 65536;
  if (shape[at] < 1 || shape[at + 1] < 1 || shape[at] > kMost || shape[at + 1] > kMost) return std::nullopt;
  return ImageSize{static_cast<int>(shape[at + 1]), static_cast<int>(shape[at])};
}

/// The shape with a batch of 1 where it is variable; nothing when another dimension is.
std::optional<std::vector<std::int64_t>> fixed(std::vector<std::int64_t> shape) {
  if (!shape.empty() && shape.front() < 0) shape.front() = 1;
  if (std::any_of(shape.begin(), shape.end(), [](std::int64_t d) { return d < 0; })) return std::nullopt;
  return shape;
}

class Checker {
 public:
  Checker(const wire::Postprocessing& definition, std::string_view origin, std::size_t label_count,
          const TensorSpec& model_input, std::span<const TensorSpec> outputs)
      : definition_(definition), origin_(origin), label_count_(label_count), size_(picture_size(model_input)) {
    plan_.outputs.assign(outputs.begin(), outputs.end());
    plan_.activations.assign(outputs.size(), Activation::none);
    plan_.input = model_input;
    plan_.label_offset = static_cast<int>(definition.label_offset);
    plan_.model = size_.value_or(ImageSize{1, 1});
  }

  Result<PostprocessingPlan> check() {
    for (const auto& step : definition_.steps) {
      ++number_;
      line_ = step.line;
      VERGE_TRY(take(step));
    }
    return std::move(plan_);
  }

 private:
  [[nodiscard]] Error error(std::string_view id, std::string_view what) const {
    const std::string line = line_ == 0 ? std::string() : fmt::format(" line {}", line_);
    return Error(ErrorCode::invalid_argument, id,
                 fmt::format("{}{}: step {} ({}): {}", origin_, line, number_, step_, what));
  }

  Result<void> take_custom() {
    step_ = "custom";
    if (definition_.steps.size() > 1) {
      return error("VRG-PST-001", fmt::format("expected 'custom' to be the only step, got {} steps; do the others in "
                                              "the function",
                                              definition_.steps.size()));
    }
    plan_.final_step = Custom{};
    return {};
  }

  Result<void> take(const wire::PostprocessStep& step) {
    if (step.custom) return take_custom();
    if (step.dequantise) {
      VERGE_TRY(enter("dequantise", Stage::before));
      plan_.converts = true;
    }
    if (step.softmax) return take_activation("softmax", Activation::softmax, step.softmax->output);
    if (step.sigmoid) return take_activation("sigmoid", Activation::sigmoid, step.sigmoid->output);
    if (step.top_k) return take_top_k(*step.top_k);
    if (step.segmentation) return take_segmentation(*step.segmentation);
    if (step.ssd_detections) return take_ssd_detections(*step.ssd_detections);
    if (step.ssd_boxes) return take_ssd_boxes(*step.ssd_boxes);
    if (step.yolo_grid) return take_yolo_grid(*step.yolo_grid);
    if (step.reconstruction_error) return take_reconstruction_error(*step.reconstruction_error);
    if (step.values) return take_values(*step.values);
    if (step.score_threshold) {
      VERGE_TRY(enter("score_threshold", Stage::after));
      plan_.filters.push_back({static_cast<float>(step.score_threshold->score), {}});
    }
    if (step.nms) {
      VERGE_TRY(enter("nms", Stage::after));
      plan_.filters.push_back({std::nullopt, *step.nms});
    }
    return {};
  }

  enum class Stage { before, final, after };

  Result<void> enter(std::string_view step, Stage stage) {
    step_ = step;
    const bool has_final = !std::holds_alternative<std::monostate>(plan_.final_step);
    if (stage == Stage::after && plan_.kind() != PredictionKind::boxes) {
      return error("VRG-PST-001",
                   fmt::format("expected ssd_detections, ssd_boxes or yolo_grid before it, got {}; '{}' works "
                               "on boxes",
                               last_.empty() ? std::string("nothing") : fmt::format("'{}'", last_), step));
    }
    if (stage != Stage::after && has_final) {
      return error("VRG-PST-001",
                   fmt::format("expected only score_threshold and nms after '{}', got '{}'; move or remove it",
                               final_name_, step));
    }
    if (stage == Stage::final) final_name_ = step;
    last_ = step;
    return {};
  }

  /// Index of the output called so, or of the one at `position`.
  Result<std::size_t> output(const std::optional<std::string>& wanted, std::size_t position) const {
    if (!wanted) {
      if (position < plan_.outputs.size()) return position;
      return error("VRG-PST-002", fmt::format("expected a model with at least {} outputs, got {}; name the right one",
                                              position + 1, plan_.outputs.size()));
    }
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < plan_.outputs.size(); ++i) {
      if (plan_.outputs[i].name == *wanted) return i;
      names.push_back(plan_.outputs[i].name);
    }
    return error("VRG-PST-002", fmt::format("expected an output of the model ({}), got '{}'", one_of(names), *wanted));
  }

  /// Heads of boxes have coordinates among their values: an activation of all of them is never meant.
  Result<void> check_untouched(std::size_t index) const {
    if (plan_.activations[index] == Activation::none) return {};
    return error("VRG-PST-001", fmt::format("expected the output {} without softmax or sigmoid before it, got one; use "
                                            "'activation' of ssd_boxes or yolo_grid",
                                            shown(index)));
  }

  [[nodiscard]] std::string shown(std::size_t index) const {
    return fmt::format("'{}' {}", plan_.outputs[index].name, describe(plan_.outputs[index]));
  }

  Result<void> check_labels(std::size_t classes) const {
    if (label_count_ == 0) return {};
    const auto needed = static_cast<std::int64_t>(classes) + plan_.label_offset;
    if (needed <= static_cast<std::int64_t>(label_count_)) return {};
    return error("VRG-PST-005", fmt::format("expected at least {} labels for {} classes with label_offset {}, got {}; "
                                            "complete the label file or correct label_offset",
                                            needed, classes, plan_.label_offset, label_count_));
  }

  Result<void> take_activation(std::string_view name, Activation activation, const std::optional<std::string>& wanted) {
    VERGE_TRY(enter(name, Stage::before));
    VERGE_ASSIGN(const std::size_t index, output(wanted, 0));
    if (plan_.activations[index] != Activation::none) {
      return error("VRG-PST-001",
                   fmt::format("expected one activation of the output {}, got another; remove one", shown(index)));
    }
    plan_.activations[index] = activation;
    plan_.converts = true;
    return {};
  }

  Result<void> take_top_k(const wire::TopKStep& step) {
    VERGE_TRY(enter("top_k", Stage::final));
    VERGE_ASSIGN(const std::size_t index, output(step.output, 0));
    const auto shape = fixed(plan_.outputs[index].shape);
    if (shape) {
      const auto rows = std::count_if(shape->begin(), shape->end(), [](std::int64_t d) { return d != 1; });
      const auto count = element_count(*shape);
      if (rows > 1 || !count || *count == 0) {
        return error(
            "VRG-PST-003",
            fmt::format("expected one row of classes such as [1,1000], got {}; name another output", shown(index)));
      }
      VERGE_TRY(check_labels(*count));
    }
    plan_.final_step = TopK{index, static_cast<std::size_t>(step.k)};
    return {};
  }

  Result<void> take_segmentation(const wire::SegmentationStep& step) {
    VERGE_TRY(enter("segmentation", Stage::final));
    VERGE_ASSIGN(const std::size_t index, output(step.output, 0));
    if (step.width.has_value() != step.height.has_value()) {
      return error("VRG-PST-004", "expected both 'width' and 'height', or neither; add the other");
    }
    if (const auto shape = fixed(plan_.outputs[index].shape)) {
      const auto map = map_shape(step, *shape);
      if (!map) {
        const bool argmax = step.method == wire::SegmentationMethod::argmax;
        return error(
            "VRG-PST-003",
            fmt::format("expected a map {} for method '{}', got {}; correct 'method' or 'layout', or give 'width' "
                        "and 'height' of a flat map",
                        !argmax                                ? "[1,height,width] of one channel"
                        : step.layout == wire::MapLayout::nhwc ? "[1,height,width,2…256]"
                                                               : "[1,2…256,height,width]",
                        name(step.method), shown(index)));
      }
      if (step.method == wire::SegmentationMethod::argmax) VERGE_TRY(check_labels(map->channels));
      if (step.method == wire::SegmentationMethod::threshold) VERGE_TRY(check_labels(2));
    }
    for (const auto& colour : step.palette) {
      plan_.palette.push_back({static_cast<std::uint8_t>(colour[0]), static_cast<std::uint8_t>(colour[1]),
                               static_cast<std::uint8_t>(colour[2])});
    }
    plan_.final_step = Segmentation{index, step};
    return {};
  }

  Result<void> check_box_tensor(std::size_t index) const {
    const auto& shape = plan_.outputs[index].shape;
    if (shape.size() >= 2 && (shape.back() == 4 || shape.back() < 0)) return {};
    if (shape.empty()) return {};  // Some models do not say.
    return error("VRG-PST-003",
                 fmt::format("expected boxes [1,N,4], got {}; name the right output in 'boxes'", shown(index)));
  }

  Result<void> take_ssd_detections(const wire::SsdDetectionsStep& step) {
    VERGE_TRY(enter("ssd_detections", Stage::final));
    SsdDetections result;
    VERGE_ASSIGN(result.boxes, output(step.boxes, 0));
    VERGE_ASSIGN(result.classes, output(step.classes, 1));
    VERGE_ASSIGN(result.scores, output(step.scores, 2));
    VERGE_ASSIGN(result.count, output(step.count, 3));
    for (const std::size_t index : {result.boxes, result.classes, result.scores, result.count}) {
      VERGE_TRY(check_untouched(index));
    }
    VERGE_TRY(check_box_tensor(result.boxes));
    plan_.final_step = result;
    return {};
  }

  Result<void> take_ssd_boxes(const wire::SsdBoxesStep& step) {
    VERGE_TRY(enter("ssd_boxes", Stage::final));
    SsdBoxes result;
    VERGE_ASSIGN(result.boxes, output(step.boxes, 0));
    VERGE_ASSIGN(result.scores, output(step.scores, 1));
    VERGE_TRY(check_untouched(result.boxes));
    VERGE_TRY(check_untouched(result.scores));
    VERGE_TRY(check_box_tensor(result.boxes));
    if (step.anchors.max_scale < step.anchors.min_scale) {
      return error("VRG-PST-004", fmt::format("expected max_scale of at least min_scale {}, got {}",
                                              step.anchors.min_scale, step.anchors.max_scale));
    }
    if (const auto count = count_anchors(step.anchors); count > kMostAnchors) {
      return error("VRG-PST-004",
                   fmt::format("expected at most {} anchors, got {}; correct 'layers'", kMostAnchors, count));
    }
    result.anchors = make_anchors(step.anchors);
    result.activation = activation_of(step.activation);
    result.background = step.background;
    for (std::size_t i = 0; i < step.scale.size(); ++i) result.scale.at(i) = static_cast<float>(step.scale[i]);
    if (const auto shape = fixed(plan_.outputs[result.scores].shape)) {
      const auto head = head_shape(*shape, false);
      const std::size_t background = step.background ? 1 : 0;
      if (!head || head->rows != result.anchors.size() || head->values <= background) {
        return error("VRG-PST-003",
                     fmt::format("expected class values [1,{},C], as 'anchors' gives {} of them, got {}; "
                                 "correct 'anchors', or name the right output in 'scores'",
                                 result.anchors.size(), result.anchors.size(), shown(result.scores)));
      }
      VERGE_TRY(check_labels(head->values - background));
    }
    plan_.final_step = std::move(result);
    return {};
  }

  Result<void> check_anchors(const wire::YoloGridStep& step) const {
    if (step.decode != wire::GridDecode::sigmoid) return {};
    const std::size_t strides = step.strides.empty() ? 3 : step.strides.size();
    const bool paired =
        std::all_of(step.anchors.begin(), step.anchors.end(), [](const auto& sizes) { return sizes.size() % 2 == 0; });
    if (step.anchors.size() == strides && paired) return {};
    return error("VRG-PST-004",
                 fmt::format("expected 'anchors' with {} lists of width, height pairs, one for each stride, "
                             "got {}{}",
                             strides, step.anchors.size(), paired ? "" : " with an odd number of values"));
  }

  Result<void> take_yolo_grid(const wire::YoloGridStep& step) {
    VERGE_TRY(enter("yolo_grid", Stage::final));
    YoloGrid result;
    VERGE_ASSIGN(result.output, output(step.output, 0));
    VERGE_TRY(check_untouched(result.output));
    VERGE_TRY(check_anchors(step));
    result.step = step;
    result.activation = activation_of(step.activation);
    if (const auto count = size_ ? count_cells(step, *size_) : 0; count > kMostAnchors) {
      return error("VRG-PST-004",
                   fmt::format("expected at most {} cells on an input of {} × {}, got {}; correct 'strides'",
                               kMostAnchors, size_->width, size_->height, count));
    }
    if (size_) make_cells(step, *size_, result.cells);
    if (const auto shape = fixed(plan_.outputs[result.output].shape)) {
      const auto head = head_shape(*shape, step.channels_first);
      const std::size_t least = step.objectness ? 6 : 5;
      if (!head || head->values < least) {
        return error("VRG-PST-003",
                     fmt::format("expected a head {} with at least {} values a box, got {}; correct "
                                 "'channels_first' or 'objectness', or name another output",
                                 step.channels_first ? "[1,values,N]" : "[1,N,values]", least, shown(result.output)));
      }
      if (size_ && step.decode != wire::GridDecode::none && head->rows != result.cells.size()) {
        return error(
            "VRG-PST-003",
            fmt::format("expected {} boxes for an input of {} × {} with these strides and anchors, got {}; correct "
                        "'strides', 'anchors' or 'channels_first', or write 'decode: none' when the model decodes "
                        "them itself",
                        result.cells.size(), size_->width, size_->height, shown(result.output)));
      }
      VERGE_TRY(check_labels(head->values - least + 1));
    }
    plan_.final_step = std::move(result);
    return {};
  }

  Result<void> take_reconstruction_error(const wire::ReconstructionErrorStep& step) {
    VERGE_TRY(enter("reconstruction_error", Stage::final));
    VERGE_ASSIGN(const std::size_t index, output(step.output, 0));
    const auto in = fixed(plan_.input.shape);
    const auto out = fixed(plan_.outputs[index].shape);
    if (in && out && element_count(*in) != element_count(*out)) {
      return error("VRG-PST-003", fmt::format("expected an output with as many values as the input '{}' {}, got {}; "
                                              "name another output",
                                              plan_.input.name, describe(plan_.input), shown(index)));
    }
    plan_.final_step = ReconstructionError{index, step};
    return {};
  }

  Result<void> take_values(const wire::ValuesStep& step) {
    VERGE_TRY(enter("values", Stage::final));
    VERGE_ASSIGN(const std::size_t index, output(step.output, 0));
    Values result{index, step.names};
    const auto shape = fixed(plan_.outputs[index].shape);
    const auto count = shape ? element_count(*shape) : std::nullopt;
    if (!count || *count == 0 || *count > kMostValues || (!step.names.empty() && step.names.size() != *count)) {
      return error(
          "VRG-PST-003",
          fmt::format("expected an output of {} values, got {}; {}",
                      step.names.empty() ? fmt::format("at most {}", kMostValues) : std::to_string(step.names.size()),
                      shown(index), step.names.empty() ? "name another output" : "correct 'names'"));
    }
    for (std::size_t i = result.names.size(); i < *count; ++i) result.names.push_back(fmt::format("value{}", i));
    plan_.final_step = std::move(result);
    return {};
  }

  const wire::Postprocessing& definition_;
  std::string_view origin_;
  std::size_t label_count_;
  std::optional<ImageSize> size_;
  PostprocessingPlan plan_;
  std::string_view step_;
  std::string_view last_;
  std::string_view final_name_;
  std::size_t number_ = 0;
  int line_ = 0;
};

}  // namespace

PredictionKind PostprocessingPlan::kind() const noexcept {
  if (std::holds_alternative<TopK>(final_step)) return PredictionKind::classes;
  if (std::holds_alternative<Segmentation>(final_step)) return PredictionKind::mask;
  if (std::holds_alternative<std::monostate>(final_step)) return PredictionKind::tensors;
  if (std::holds_alternative<ReconstructionError>(final_step)) return PredictionKind::anomaly;
  if (std::holds_alternative<Values>(final_step)) return PredictionKind::values;
  if (std::holds_alternative<Custom>(final_step)) return PredictionKind::custom;
  return PredictionKind::boxes;
}

Result<PostprocessingPlan> check_definition(const wire::Postprocessing& definition, std::string_view origin,
                                            std::size_t label_count, const TensorSpec& model_input,
                                            std::span<const TensorSpec> outputs) {
  return Checker(definition, origin, label_count, model_input, outputs).check();
}

}  // namespace verge::processing
