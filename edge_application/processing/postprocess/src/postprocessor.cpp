#include "verge/processing/postprocessor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "activation.hpp"
#include "boxes.hpp"
#include "definition.hpp"
#include "segmentation.hpp"

namespace verge::processing {
namespace {

/// A class and its score in the heap of the best: the worst on top.
bool better(const ClassScore& a, const ClassScore& b) noexcept {
  return a.score != b.score ? a.score > b.score : a.class_index < b.class_index;
}

void pick_best(std::span<const float> scores, std::size_t k, std::vector<ClassScore>& best) {
  best.clear();
  for (std::size_t i = 0; i < scores.size() && i < std::size_t{std::numeric_limits<int>::max()}; ++i) {
    const float score = std::isnan(scores[i]) ? -std::numeric_limits<float>::infinity() : scores[i];
    if (best.size() == k && !(score > best.front().score)) continue;
    if (best.size() == k) {
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
    best.push_back({static_cast<int>(i), score, {}});
    std::push_heap(best.begin(), best.end(), better);
  }
  std::sort(best.begin(), best.end(), better);
}

Error wrong_tensor(const TensorSpec& spec, std::string_view what) {
  return Error(ErrorCode::invalid_argument, "VRG-PST-010",
               fmt::format("output '{}': expected {} as the model says, got {}", spec.name, describe(spec), what));
}

}  // namespace

struct Postprocessor::State {
  PostprocessingPlan plan;
  std::vector<std::string> labels;
  std::vector<std::vector<float>> values;  ///< Real numbers of the outputs that are not float32 as they come.
  std::vector<TensorView> converted;
  std::vector<TensorSpec> converted_specs;
  BoxMaker boxes;
  MaskMaker masks;
  ImageSize cells_for;
  std::vector<float> input;  ///< As real numbers.

  [[nodiscard]] std::string_view label(int class_index) const noexcept {
    const std::int64_t line = std::int64_t{class_index} + plan.label_offset;
    return line >= 0 && line < static_cast<std::int64_t>(labels.size()) ? labels[static_cast<std::size_t>(line)]
                                                                        : std::string_view();
  }
  Result<void> check(std::span<const TensorView> outputs) const;
  Result<std::span<const float>> real(std::span<const TensorView> outputs, std::size_t index, bool activated = true);
  Result<void> give_tensors(std::span<const TensorView> outputs, Prediction& prediction);
  Result<void> give_classes(const TopK& step, std::span<const TensorView> outputs, Prediction& prediction);
  Result<void> give_mask(const Segmentation& step, std::span<const TensorView> outputs, const Placement& placement,
                         Prediction& prediction);
  Result<void> give_boxes(std::span<const TensorView> outputs, const Placement& placement, Prediction& prediction);
  Result<void> give_values(const Values& step, std::span<const TensorView> outputs, Prediction& prediction);
};

/// Types, sizes and shapes, so that everything behind may trust them.
Result<void> Postprocessor::State::check(std::span<const TensorView> outputs) const {
  if (outputs.size() != plan.outputs.size()) {
    return Error(ErrorCode::invalid_argument, "VRG-PST-010",
                 fmt::format("expected {} outputs as the model says, got {}", plan.outputs.size(), outputs.size()));
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const TensorView& view = outputs[i];
    if (view.datatype != plan.outputs[i].datatype) return wrong_tensor(plan.outputs[i], name(view.datatype));
    const auto count = element_count(view.shape);
    std::size_t bytes = 0;
    const bool varies = size_bytes(view.datatype) == 0;
    if (!count || __builtin_mul_overflow(*count, size_bytes(view.datatype), &bytes) ||
        (!varies && bytes != view.size_bytes)) {
      return wrong_tensor(plan.outputs[i], fmt::format("{} with {} bytes", describe(view.shape), view.size_bytes));
    }
  }
  return {};
}

/// The output as real numbers. Without activation float32 is used where it is.
Result<std::span<const float>> Postprocessor::State::real(std::span<const TensorView> outputs, std::size_t index,
                                                          bool activated) {
  const bool plain = !activated || plan.activations[index] == Activation::none;
  if (plain && outputs[index].datatype == DataType::fp32) return outputs[index].as<const float>();
  VERGE_TRY(load_values(outputs[index], plan.outputs[index].quantisation, values[index]));
  if (activated && plan.activations[index] == Activation::sigmoid) sigmoid(values[index]);
  return values[index];
}

Result<void> Postprocessor::State::give_tensors(std::span<const TensorView> outputs, Prediction& prediction) {
  prediction.tensors = outputs;
  prediction.tensor_specs = plan.outputs;
  if (!plan.converts) return {};
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    converted[i] = outputs[i];
    if (outputs[i].datatype == DataType::bytes) continue;
    VERGE_TRY(real(outputs, i));
    if (plan.activations[i] == Activation::none && outputs[i].datatype == DataType::fp32) continue;
    if (plan.activations[i] == Activation::softmax) {
      const std::size_t last = outputs[i].shape.empty() ? 1 : static_cast<std::size_t>(outputs[i].shape.back());
      softmax(values[i], last, 1);
    }
    converted[i] = {DataType::fp32, outputs[i].shape, reinterpret_cast<std::byte*>(values[i].data()),
                    values[i].size() * sizeof(float)};
  }
  prediction.tensors = converted;
  prediction.tensor_specs = converted_specs;
  return {};
}

Result<void> Postprocessor::State::give_classes(const TopK& step, std::span<const TensorView> outputs,
                                                Prediction& prediction) {
  VERGE_ASSIGN(const std::span<const float> scores, real(outputs, step.output));
  if (plan.activations[step.output] == Activation::softmax) softmax(values[step.output], scores.size(), 1);
  pick_best(scores, step.k, prediction.classes);
  for (ClassScore& entry : prediction.classes) entry.label = label(entry.class_index);
  return {};
}

Result<void> Postprocessor::State::give_mask(const Segmentation& step, std::span<const TensorView> outputs,
                                             const Placement& placement, Prediction& prediction) {
  const auto shape = map_shape(step.step, outputs[step.output].shape);
  if (!shape) return wrong_tensor(plan.outputs[step.output], describe(outputs[step.output].shape));
  // An activation does not change which class is the best.
  const bool activated = step.step.method != wire::SegmentationMethod::argmax ||
                         step.step.interpolation == wire::MapInterpolation::bilinear;
  VERGE_ASSIGN(const std::span<const float> scores, real(outputs, step.output, activated));
  if (activated && plan.activations[step.output] == Activation::softmax) {
    softmax(values[step.output], shape->channels, shape->channel_stride);
  }
  const ImageSize model = placement.model_width > 0 && placement.model_height > 0
                              ? ImageSize{placement.model_width, placement.model_height}
                              : plan.model;
  masks.make(step, scores, *shape, model, placement, prediction.mask);
  measure_areas(prediction.mask, prediction.areas);
  for (ClassArea& entry : prediction.areas) entry.label = label(entry.class_index);
  return {};
}

Result<void> Postprocessor::State::give_boxes(std::span<const TensorView> outputs, const Placement& placement,
                                              Prediction& prediction) {
  const ImageSize model = placement.model_width > 0 && placement.model_height > 0
                              ? ImageSize{placement.model_width, placement.model_height}
                              : plan.model;
  const bool filtered = !plan.filters.empty() && plan.filters.front().least_score.has_value();
  boxes.start(filtered ? *plan.filters.front().least_score : 0.0F);
  if (const auto* detections = std::get_if<SsdDetections>(&plan.final_step)) {
    VERGE_ASSIGN(const std::span<const float> corners, real(outputs, detections->boxes));
    VERGE_ASSIGN(const std::span<const float> classes, real(outputs, detections->classes));
    VERGE_ASSIGN(const std::span<const float> scores, real(outputs, detections->scores));
    VERGE_ASSIGN(const std::span<const float> count, real(outputs, detections->count));
    boxes.add_detections(corners, classes, scores, count.empty() ? 0.0F : count[0], model);
  } else if (const auto* ssd = std::get_if<SsdBoxes>(&plan.final_step)) {
    VERGE_ASSIGN(const std::span<const float> codes, real(outputs, ssd->boxes));
    VERGE_ASSIGN(const std::span<const float> scores, real(outputs, ssd->scores));
    const auto head = head_shape(outputs[ssd->scores].shape, false);
    if (!head || head->rows != ssd->anchors.size() || codes.size() != head->rows * 4) {
      return wrong_tensor(plan.outputs[ssd->scores], describe(outputs[ssd->scores].shape));
    }
    boxes.add_ssd(*ssd, codes, scores, model);
  } else if (auto* yolo = std::get_if<YoloGrid>(&plan.final_step)) {
    const auto head = head_shape(outputs[yolo->output].shape, yolo->step.channels_first);
    const bool decodes = yolo->step.decode != wire::GridDecode::none;
    if (!head || (decodes && head->rows != count_cells(yolo->step, model))) {
      return wrong_tensor(
          plan.outputs[yolo->output],
          fmt::format("{} for an input of {} × {}", describe(outputs[yolo->output].shape), model.width, model.height));
    }
    if (cells_for != model) make_cells(yolo->step, model, yolo->cells);
    cells_for = model;
    VERGE_ASSIGN(const std::span<const float> values_of_head, real(outputs, yolo->output));
    boxes.add_yolo(*yolo, values_of_head, *head);
  }
  boxes.finish(plan.filters, placement, prediction.boxes);
  for (Box& box : prediction.boxes) box.label = label(box.class_index);
  return {};
}

Result<void> Postprocessor::State::give_values(const Values& step, std::span<const TensorView> outputs,
                                               Prediction& prediction) {
  VERGE_ASSIGN(const std::span<const float> numbers, real(outputs, step.output));
  if (plan.activations[step.output] == Activation::softmax) softmax(values[step.output], numbers.size(), 1);
  const auto count = std::min(numbers.size(), step.names.size());
  for (std::size_t i = 0; i < count; ++i) prediction.values.push_back({step.names[i], numbers[i]});
  return {};
}

Postprocessor::Postprocessor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Postprocessor::Postprocessor(Postprocessor&&) noexcept = default;
Postprocessor& Postprocessor::operator=(Postprocessor&&) noexcept = default;
Postprocessor::~Postprocessor() = default;

Result<Postprocessor> Postprocessor::compile(const wire::Postprocessing& definition, std::string_view origin,
                                             std::vector<std::string> labels, const TensorSpec& model_input,
                                             std::span<const TensorSpec> outputs) {
  VERGE_ASSIGN(PostprocessingPlan plan, check_definition(definition, origin, labels.size(), model_input, outputs));
  auto state = std::make_unique<State>();
  state->plan = std::move(plan);
  state->labels = std::move(labels);
  state->values.resize(outputs.size());
  state->converted.resize(outputs.size());
  state->converted_specs.assign(outputs.begin(), outputs.end());
  for (TensorSpec& spec : state->converted_specs) {
    if (spec.datatype == DataType::bytes) continue;
    spec.datatype = DataType::fp32;
    spec.quantisation.reset();
  }
  return Postprocessor(std::move(state));
}

PredictionKind Postprocessor::kind() const noexcept {
  return state_->plan.kind();
}
std::span<const std::string> Postprocessor::labels() const noexcept {
  return state_->labels;
}
std::string_view Postprocessor::label(int class_index) const noexcept {
  return state_->label(class_index);
}
std::span<const Colour> Postprocessor::palette() const noexcept {
  return state_->plan.palette;
}

Result<void> Postprocessor::run(std::span<const TensorView> outputs, const Placement& placement,
                                Prediction& prediction) {
  State& s = *state_;
  VERGE_TRY(s.check(outputs));
  prediction.begin(s.plan.kind());
  switch (prediction.kind) {
    case PredictionKind::tensors: return s.give_tensors(outputs, prediction);
    case PredictionKind::classes: return s.give_classes(std::get<TopK>(s.plan.final_step), outputs, prediction);
    case PredictionKind::mask:
      return s.give_mask(std::get<Segmentation>(s.plan.final_step), outputs, placement, prediction);
    case PredictionKind::boxes: return s.give_boxes(outputs, placement, prediction);
    case PredictionKind::values: return s.give_values(std::get<Values>(s.plan.final_step), outputs, prediction);
    case PredictionKind::custom:
      return Error(ErrorCode::internal, "VRG-PST-012", "a custom step is run by its own process");
    case PredictionKind::anomaly: break;
  }
  return Error(ErrorCode::internal, "VRG-PST-011", "an anomaly is found by run_window()");
}

Result<void> Postprocessor::run_window(const TensorView& input, std::span<const TensorView> outputs, std::size_t window,
                                       Prediction& prediction) {
  State& s = *state_;
  VERGE_TRY(s.check(outputs));
  const auto& step = std::get<ReconstructionError>(s.plan.final_step);
  VERGE_ASSIGN(const std::span<const float> made, s.real(outputs, step.output));
  VERGE_TRY(load_values(input, s.plan.input.quantisation, s.input));
  if (made.size() != s.input.size() || made.empty()) {
    return wrong_tensor(s.plan.outputs[step.output], describe(outputs[step.output].shape));
  }
  double sum = 0;
  for (std::size_t i = 0; i < made.size(); ++i) {
    const double difference = static_cast<double>(made[i]) - static_cast<double>(s.input[i]);
    sum += difference * difference;
  }
  const auto error = static_cast<float>(sum / static_cast<double>(made.size()));
  prediction.kind = PredictionKind::anomaly;
  Anomaly& anomaly = prediction.anomaly;
  if (window == 0) anomaly = {};
  const bool mean = step.step.aggregate == wire::ErrorAggregate::mean;
  anomaly.error =
      mean ? anomaly.error + (error - anomaly.error) / static_cast<float>(window + 1) : std::max(anomaly.error, error);
  anomaly.threshold = static_cast<float>(step.step.threshold);
  anomaly.found = !(anomaly.error <= anomaly.threshold);  // Also when it is not a number.
  anomaly.windows = window + 1;
  return {};
}

}  // namespace verge::processing
