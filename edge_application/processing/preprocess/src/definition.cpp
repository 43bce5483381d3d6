#include "definition.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace verge::processing {
namespace {

/// Steps in the order in which they may stand.
enum class Stage { start, decode, geometry, normalise, layout, quantise };

class Checker {
 public:
  Checker(const wire::Preprocessing& definition, std::string_view origin, const TensorSpec& input)
      : definition_(definition), origin_(origin), input_(input) {
    plan_.datatype = input.datatype;
  }

  Result<PreprocessingPlan> check() {
    plan_.takes_image = definition_.sample == wire::SampleKind::image;
    plan_.has_steps = !definition_.steps.empty();
    for (std::size_t i = 0; i < definition_.steps.size(); ++i) {
      number_ = i + 1;
      VERGE_TRY(take(definition_.steps[i]));
    }
    number_ = 0;
    line_ = definition_.line;
    VERGE_TRY(check_datatype());
    if (plan_.takes_image && !plan_.custom) {
      VERGE_TRY(match_shape());
      VERGE_TRY(check_channel_values());
    } else {
      plan_.shape = input_.shape;
      if (!plan_.shape.empty() && plan_.shape.front() < 0) plan_.shape.front() = 1;
    }
    return std::move(plan_);
  }

 private:
  /// "file line 4: step 2 (resize): what".
  [[nodiscard]] Error error(std::string_view id, std::string_view what) const {
    const std::string step = number_ == 0 ? std::string() : fmt::format("step {} ({}): ", number_, step_);
    const std::string line = line_ == 0 ? std::string() : fmt::format(" line {}", line_);
    return Error(ErrorCode::invalid_argument, id, fmt::format("{}{}: {}{}", origin_, line, step, what));
  }

  /// Lets messages point at the step of a stage that has been passed, if there is one.
  void point_at(Stage stage) {
    const StepPlace& place = places_.at(static_cast<std::size_t>(stage));
    if (place.number == 0) return;
    number_ = place.number;
    line_ = place.line;
    step_ = place.name;
  }

  Result<void> enter(Stage stage, std::string_view step, int line) {
    step_ = step;
    line_ = line;
    const bool repeats = stage == stage_ && stage != Stage::geometry;
    if (stage < stage_ || repeats) {
      return error(
          "VRG-PRE-001",
          fmt::format("expected the order decode, crop and resize, normalise, layout, quantise, each once, got "
                      "'{}' {}; move or remove it",
                      step, repeats ? "twice" : fmt::format("after '{}'", last_)));
    }
    if (!plan_.takes_image && (stage == Stage::decode || stage == Stage::geometry || stage == Stage::layout)) {
      return error("VRG-PRE-006",
                   fmt::format("'{}' works on pictures, and this is 'sample: tensor'; remove the step or "
                               "write 'sample: image'",
                               step));
    }
    stage_ = stage;
    last_ = step;
    places_.at(static_cast<std::size_t>(stage)) = {number_, line, step};
    return {};
  }

  Result<void> take_custom(int line) {
    step_ = "custom";
    line_ = line;
    if (definition_.steps.size() > 1) {
      return error("VRG-PRE-001", fmt::format("expected 'custom' to be the only step, got {} steps; do the others in "
                                              "the function",
                                              definition_.steps.size()));
    }
    plan_.custom = true;
    return {};
  }

  Result<void> take(const wire::PreprocessStep& step) {
    if (step.custom) return take_custom(step.line);
    if (step.decode) {
      VERGE_TRY(enter(Stage::decode, "decode", step.line));
      plan_.colour = step.decode->colour == wire::Colour::rgb   ? PixelFormat::rgb
                     : step.decode->colour == wire::Colour::bgr ? PixelFormat::bgr
                                                                : PixelFormat::grey;
    }
    if (step.crop) {
      VERGE_TRY(enter(Stage::geometry, "crop", step.line));
      return take_crop(*step.crop);
    }
    if (step.resize) {
      VERGE_TRY(enter(Stage::geometry, "resize", step.line));
      return take_resize(*step.resize);
    }
    if (step.normalise) {
      VERGE_TRY(enter(Stage::normalise, "normalise", step.line));
      normalise_ = *step.normalise;
      plan_.value_normalisation = *step.normalise;
    }
    if (step.layout) {
      VERGE_TRY(enter(Stage::layout, "layout", step.line));
      plan_.layout = *step.layout;
    }
    if (step.quantise) {
      VERGE_TRY(enter(Stage::quantise, "quantise", step.line));
      return take_quantise();
    }
    return {};
  }

  Result<void> take_crop(const wire::CropStep& step) {
    const bool sized = step.width.has_value() && step.height.has_value();
    if (step.fraction.has_value() == (step.width || step.height) || (!step.fraction && !sized)) {
      return error("VRG-PRE-002", "expected either 'width' and 'height', or 'fraction'; give one of the two");
    }
    if (!plan_.resize) {
      plan_.crops.push_back(step);
      return {};
    }
    const auto region = cut(step, plan_.window);
    if (!region) {
      return error("VRG-PRE-002", fmt::format("expected a crop of at most {} × {}, which the resize step gives, got "
                                              "{} × {}; make it smaller",
                                              plan_.window.width, plan_.window.height, *step.width, *step.height));
    }
    plan_.window = *region;
    return {};
  }

  Result<void> take_resize(const wire::ResizeStep& step) {
    if (plan_.resize) return error("VRG-PRE-001", "expected one resize step, got another; remove one of the two");
    const auto pads = step.pad.size();
    if (pads > 1 && pads != static_cast<std::size_t>(channels(plan_.colour))) {
      return error("VRG-PRE-005",
                   fmt::format("expected 1 or {} values in 'pad', got {}", channels(plan_.colour), pads));
    }
    plan_.resize = step;
    plan_.window = {0, 0, static_cast<int>(step.width), static_cast<int>(step.height)};
    return {};
  }

  Result<void> take_quantise() {
    if (!input_.quantisation) {
      return error("VRG-PRE-004",
                   fmt::format("expected an input with a scale and a zero point, got '{}' {} without them; "
                               "remove the step",
                               input_.name, describe(input_)));
    }
    plan_.quantisation = input_.quantisation;
    if (!(std::isfinite(input_.quantisation->scale) && input_.quantisation->scale > 0)) {
      return error("VRG-PRE-004",
                   fmt::format("expected a scale above 0 in the input '{}', got {}; convert the model anew",
                               input_.name, input_.quantisation->scale));
    }
    return {};
  }

  Result<void> check_datatype() {
    const DataType type = input_.datatype;
    const bool number = type != DataType::bytes && type != DataType::bool_;
    if (!number && (plan_.takes_image || plan_.has_steps)) {
      return error("VRG-PRE-004", fmt::format("expected an input of numbers, got '{}' {}; use 'sample: tensor' without "
                                              "steps for it",
                                              input_.name, describe(input_)));
    }
    const bool floating =
        type == DataType::fp16 || type == DataType::bf16 || type == DataType::fp32 || type == DataType::fp64;
    if (floating && plan_.quantisation) {
      return error("VRG-PRE-004", fmt::format("expected an integer input for 'quantise', got '{}' {}; remove the step",
                                              input_.name, describe(input_)));
    }
    return {};
  }

  /// Whether the tensor's dimensions can be these; -1 on the tensor's side is anything.
  [[nodiscard]] bool matches(std::span<const std::int64_t> wanted) const {
    if (wanted.size() != input_.shape.size()) return false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (input_.shape[i] >= 0 && input_.shape[i] != wanted[i]) return false;
    }
    return true;
  }

  /// Without a resize step the size is the tensor's own.
  Result<void> size_from_tensor() {
    const auto& shape = input_.shape;
    const bool batched = shape.size() == 4;
    const std::size_t first = (batched ? 1U : 0U) + (plan_.layout == wire::TensorLayout::nchw ? 1U : 0U);
    constexpr std::int64_t kMost = 16384;
    if ((shape.size() != 3 && !batched) || shape[first] < 1 || shape[first + 1] < 1 || shape[first] > kMost ||
        shape[first + 1] > kMost) {
      return error("VRG-PRE-002",
                   fmt::format("expected a resize step, as the size of the input '{}' {} is not fixed; add "
                               "'resize: {{width: …, height: …}}'",
                               input_.name, describe(input_)));
    }
    plan_.window = {0, 0, static_cast<int>(shape[first + 1]), static_cast<int>(shape[first])};
    return {};
  }

  Result<void> match_shape() {
    if (!plan_.resize) VERGE_TRY(size_from_tensor());
    const std::int64_t h = plan_.window.height;
    const std::int64_t w = plan_.window.width;
    const std::int64_t c = channels(plan_.colour);
    const bool first = plan_.layout == wire::TensorLayout::nchw;
    std::vector<std::vector<std::int64_t>> shapes{
        first ? std::vector{std::int64_t{1}, c, h, w} : std::vector{std::int64_t{1}, h, w, c},
        first ? std::vector{c, h, w} : std::vector{h, w, c},
        {1, h * w * c},
        {h * w * c}};
    if (c == 1) shapes.insert(shapes.end(), {{1, h, w}, {h, w}});
    for (auto& shape : shapes) {
      if (matches(shape)) {
        plan_.shape = std::move(shape);
        return {};
      }
    }
    std::string advice = "change 'resize', 'crop' or 'layout' so that they agree";
    for (const int other : {1, 3}) {
      const bool channels_differ = other != c && matches(first ? std::vector<std::int64_t>{1, other, h, w}
                                                               : std::vector<std::int64_t>{1, h, w, other});
      if (channels_differ) {
        point_at(Stage::decode);
        return error("VRG-PRE-003",
                     fmt::format("expected the input '{}' {} to have {} channels for 'colour: {}'; write "
                                 "'decode: {{colour: {}}}'",
                                 input_.name, describe(input_), c, colour_name(), other == 1 ? "grey" : "rgb"));
      }
    }
    const auto swapped = first ? std::vector<std::int64_t>{1, h, w, c} : std::vector<std::int64_t>{1, c, h, w};
    if (matches(swapped)) advice = fmt::format("write 'layout: {}'", first ? "nhwc" : "nchw");
    point_at(matches(swapped) ? Stage::layout : Stage::geometry);
    return error("VRG-PRE-002",
                 fmt::format("expected the input '{}' to have the shape {}, which the steps give, got {}; {}",
                             input_.name, describe(shapes.front()), describe(input_), advice));
  }

  [[nodiscard]] std::string_view colour_name() const {
    return plan_.colour == PixelFormat::grey ? "grey" : plan_.colour == PixelFormat::rgb ? "rgb" : "bgr";
  }

  Result<void> check_channel_values() {
    if (!normalise_) return {};
    const auto count = static_cast<std::size_t>(channels(plan_.colour));
    Normalisation result;
    const auto value = [](const std::vector<double>& values, std::size_t c, double absent) {
      return values.empty() ? absent : values.size() == 1 ? values[0] : values[c];
    };
    for (const auto& [key, values] : {std::pair{"mean", &normalise_->mean}, std::pair{"std", &normalise_->std}}) {
      if (values->size() > 1 && values->size() != count) {
        point_at(Stage::normalise);
        return error("VRG-PRE-005", fmt::format("expected 1 or {} values in '{}' for 'colour: {}', got {}", count, key,
                                                colour_name(), values->size()));
      }
    }
    for (std::size_t c = 0; c < count; ++c) {
      const double std = value(normalise_->std, c, 1.0);
      result.factor.at(c) = normalise_->scale / std;
      result.offset.at(c) = -value(normalise_->mean, c, 0.0) / std;
    }
    plan_.normalisation = result;
    return {};
  }

  struct StepPlace {
    std::size_t number = 0;  ///< From 1; 0: no such step.
    int line = 0;
    std::string_view name;
  };

  const wire::Preprocessing& definition_;
  std::string_view origin_;
  std::array<StepPlace, 6> places_;
  const TensorSpec& input_;
  PreprocessingPlan plan_;
  std::optional<wire::NormaliseStep> normalise_;
  Stage stage_ = Stage::start;
  std::string_view last_;
  std::string_view step_;
  std::size_t number_ = 0;
  int line_ = 0;
};

}  // namespace

std::optional<Region> cut(const wire::CropStep& step, const Region& of) {
  if (step.fraction) {
    // As TensorFlow's central_crop: the border is rounded down, and the same on both sides.
    const auto border = [&](int side) { return static_cast<int>((side - side * *step.fraction) / 2.0); };
    const int x = border(of.width);
    const int y = border(of.height);
    return Region{of.x + x, of.y + y, of.width - 2 * x, of.height - 2 * y};
  }
  const auto width = static_cast<int>(*step.width);
  const auto height = static_cast<int>(*step.height);
  if (width > of.width || height > of.height) return std::nullopt;
  // As torchvision's CenterCrop: halves to even.
  const auto start = [](int room) { return static_cast<int>(std::nearbyint(room / 2.0)); };
  return Region{of.x + start(of.width - width), of.y + start(of.height - height), width, height};
}

Result<PreprocessingPlan> check_definition(const wire::Preprocessing& definition, std::string_view origin,
                                           const TensorSpec& input) {
  return Checker(definition, origin, input).check();
}

}  // namespace verge::processing
