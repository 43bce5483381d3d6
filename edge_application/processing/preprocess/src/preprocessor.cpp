#include "verge/processing/preprocessor.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "definition.hpp"
#include "resampler.hpp"
#include "values.hpp"

namespace verge::processing {
namespace {

/// Where the picture lands on the canvas of the resize step.
struct Landing {
  ImageSize scaled;
  int x = 0, y = 0;
};

Landing land(const wire::ResizeStep& step, int width, int height) {
  const auto canvas_width = static_cast<int>(step.width);
  const auto canvas_height = static_cast<int>(step.height);
  const double ratio = std::min(static_cast<double>(canvas_width) / width, static_cast<double>(canvas_height) / height);
  const auto scaled = [&](int side, int canvas, bool rounds) {
    const double exact = side * ratio + 1e-9;  // What should be whole must not become one less.
    return std::clamp(static_cast<int>(rounds ? std::nearbyint(exact) : exact), 1, canvas);
  };
  switch (step.mode) {
    case wire::ResizeMode::stretch: break;
    case wire::ResizeMode::fit:  // As YOLOX.
      return {{scaled(width, canvas_width, false), scaled(height, canvas_height, false)}, 0, 0};
    case wire::ResizeMode::letterbox: {  // As Ultralytics.
      const ImageSize size{scaled(width, canvas_width, true), scaled(height, canvas_height, true)};
      return {size, (canvas_width - size.width) / 2, (canvas_height - size.height) / 2};
    }
    case wire::ResizeMode::centre_crop: {  // As torchvision's Resize and CenterCrop.
      ImageSize size{canvas_width, canvas_height};
      if (std::int64_t{width} * canvas_height >= std::int64_t{height} * canvas_width) {
        size.width = static_cast<int>(std::int64_t{width} * canvas_height / height);
      } else {
        size.height = static_cast<int>(std::int64_t{height} * canvas_width / width);
      }
      const auto start = [](int room) { return -static_cast<int>(std::nearbyint(room / 2.0)); };
      return {size, start(size.width - canvas_width), start(size.height - canvas_height)};
    }
  }
  return {{canvas_width, canvas_height}, 0, 0};
}

/// `part` of a picture of size `of`, in the pixels of the same picture decoded as `image`.
Region in_image(const Region& part, ImageSize of, ImageSize image) {
  const auto map = [](int value, int from, int to) {
    return from == to ? value : static_cast<int>(std::lround(static_cast<double>(value) * to / from));
  };
  Region result{map(part.x, of.width, image.width), map(part.y, of.height, image.height),
                map(part.width, of.width, image.width), map(part.height, of.height, image.height)};
  result.x = std::clamp(result.x, 0, image.width - 1);
  result.y = std::clamp(result.y, 0, image.height - 1);
  result.width = std::clamp(result.width, 1, image.width - result.x);
  result.height = std::clamp(result.height, 1, image.height - result.y);
  return result;
}

Error not_ours() {
  return Error(ErrorCode::internal, "VRG-PRE-013", "a custom step is run by its own process");
}

Error wrong_picture(std::string_view what) {
  return Error(ErrorCode::invalid_argument, "VRG-PRE-010", std::string(what));
}

}  // namespace

struct Preprocessor::State {
  PreprocessingPlan plan;
  ValueWriter writer;
  Resampler resampler;
  Image converted;
  std::vector<std::uint8_t> row;      ///< A row with its padding.
  std::vector<std::uint8_t> pad_row;  ///< Padding only.
  std::vector<float> values;

  Result<Region> source_region(ImageSize source) const;
  Placement place(ImageSize source, const Region& region, const Landing& landing) const;
  void write(const ImageView& image, const Landing& landing, const Placement& placement, std::byte* tensor);
  Result<void> check_input(const TensorView& input) const;
};

Preprocessor::Preprocessor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Preprocessor::Preprocessor(Preprocessor&&) noexcept = default;
Preprocessor& Preprocessor::operator=(Preprocessor&&) noexcept = default;
Preprocessor::~Preprocessor() = default;

Result<Preprocessor> Preprocessor::compile(const wire::Preprocessing& definition, std::string_view origin,
                                           const TensorSpec& input) {
  VERGE_ASSIGN(PreprocessingPlan plan, check_definition(definition, origin, input));
  auto state = std::make_unique<State>();
  state->plan = std::move(plan);
  const PreprocessingPlan& p = state->plan;
  if (p.takes_image && !p.custom) {
    const int count = channels(p.colour);
    state->writer =
        ValueWriter(p.normalisation, p.quantisation, p.datatype, p.layout, count, p.window.width, p.window.height);
    state->row.resize(static_cast<std::size_t>(p.window.width) * static_cast<std::size_t>(count));
    state->pad_row.resize(state->row.size());
    if (p.resize && !p.resize->pad.empty()) {
      for (std::size_t i = 0; i < state->pad_row.size(); ++i) {
        const auto& pad = p.resize->pad;
        state->pad_row[i] = static_cast<std::uint8_t>(pad.size() == 1 ? pad[0] : pad[i % pad.size()]);
      }
    }
  }
  return Preprocessor(std::move(state));
}

bool Preprocessor::takes_image() const noexcept {
  return state_->plan.takes_image;
}
PixelFormat Preprocessor::colour() const noexcept {
  return state_->plan.colour;
}
std::span<const std::int64_t> Preprocessor::input_shape() const noexcept {
  return state_->plan.shape;
}

ScaleHint Preprocessor::scale_hint() const noexcept {
  const PreprocessingPlan& plan = state_->plan;
  if (!plan.resize) return {};
  const bool averages = plan.resize->interpolation == wire::Interpolation::area ||
                        (plan.resize->antialias && plan.resize->interpolation != wire::Interpolation::nearest);
  if (!averages) return {};
  double share = 1.0;
  for (const auto& crop : plan.crops) {
    if (!crop.fraction) return {};  // Counts pixels of the whole picture.
    share *= *crop.fraction;
  }
  constexpr double kMost = 1 << 20;
  const auto needed = [&](std::int64_t side) {
    return static_cast<int>(std::min(std::ceil(static_cast<double>(side) / share), kMost));
  };
  return {needed(plan.resize->width), needed(plan.resize->height)};
}

Result<Region> Preprocessor::State::source_region(ImageSize source) const {
  Region region{0, 0, source.width, source.height};
  for (const auto& crop : plan.crops) {
    const auto part = cut(crop, region);
    if (!part) {
      return wrong_picture(
          fmt::format("expected a picture of at least {} × {} pixels, which the crop step cuts out, got "
                      "{} × {}; send a larger one",
                      *crop.width, *crop.height, region.width, region.height));
    }
    region = *part;
  }
  if (!plan.resize && (region.width != plan.window.width || region.height != plan.window.height)) {
    return wrong_picture(
        fmt::format("expected a picture of {} × {} pixels, as the preprocessing has no resize step, got "
                    "{} × {}; scale it, or add a resize step",
                    plan.window.width, plan.window.height, region.width, region.height));
  }
  return region;
}

Placement Preprocessor::State::place(ImageSize source, const Region& region, const Landing& landing) const {
  Placement placement;
  const auto scale = [](int to, int from) { return static_cast<float>(static_cast<double>(to) / from); };
  placement.scale_x = scale(landing.scaled.width, region.width);
  placement.scale_y = scale(landing.scaled.height, region.height);
  const int x = landing.x - plan.window.x;
  const int y = landing.y - plan.window.y;
  placement.offset_x = static_cast<float>(x) - static_cast<float>(region.x) * placement.scale_x;
  placement.offset_y = static_cast<float>(y) - static_cast<float>(region.y) * placement.scale_y;
  placement.source_width = source.width;
  placement.source_height = source.height;
  placement.model_width = plan.window.width;
  placement.model_height = plan.window.height;
  placement.content_x0 = std::clamp(x, 0, plan.window.width);
  placement.content_y0 = std::clamp(y, 0, plan.window.height);
  placement.content_x1 = std::clamp(x + landing.scaled.width, placement.content_x0, plan.window.width);
  placement.content_y1 = std::clamp(y + landing.scaled.height, placement.content_y0, plan.window.height);
  return placement;
}

Result<void> Preprocessor::State::check_input(const TensorView& input) const {
  const std::size_t needed = static_cast<std::size_t>(plan.window.width) *
                             static_cast<std::size_t>(plan.window.height) *
                             static_cast<std::size_t>(channels(plan.colour)) * size_bytes(plan.datatype);
  if (input.datatype == plan.datatype && input.size_bytes == needed && input.data != nullptr) return {};
  return Error(ErrorCode::invalid_argument, "VRG-PRE-011",
               fmt::format("expected an input of type {} with {} bytes, got {} with {}", name(plan.datatype), needed,
                           name(input.datatype), input.size_bytes));
}

/// `image` is the region already. Every row goes straight from the filter into the tensor.
void Preprocessor::State::write(const ImageView& image, const Landing& landing, const Placement& placement,
                                std::byte* tensor) {
  const auto count = static_cast<std::size_t>(channels(plan.colour));
  ResampleRequest request;
  request.in = {image.width, image.height};
  request.scaled = landing.scaled;
  request.x = placement.content_x0 - (landing.x - plan.window.x);
  request.y = placement.content_y0 - (landing.y - plan.window.y);
  request.wanted = {placement.content_x1 - placement.content_x0, placement.content_y1 - placement.content_y0};
  request.channels = static_cast<int>(count);
  if (plan.resize) {
    request.interpolation = plan.resize->interpolation;
    request.antialias = plan.resize->antialias;
  }
  const bool visible = request.wanted.width > 0 && request.wanted.height > 0;
  if (visible) resampler.start(image, request);
  const bool padded = request.wanted.width != plan.window.width;
  if (padded) row = pad_row;
  for (int y = 0; y < plan.window.height; ++y) {
    if (!visible || y < placement.content_y0 || y >= placement.content_y1) {
      writer.write_row(pad_row.data(), y, tensor);
      continue;
    }
    const std::uint8_t* scaled = resampler.row(y - placement.content_y0);
    if (padded) {
      std::memcpy(row.data() + static_cast<std::size_t>(placement.content_x0) * count, scaled,
                  static_cast<std::size_t>(request.wanted.width) * count);
      scaled = row.data();
    }
    writer.write_row(scaled, y, tensor);
  }
}

Result<Placement> Preprocessor::run(const ImageView& image, ImageSize source, const TensorView& input) {
  State& s = *state_;
  const PreprocessingPlan& plan = s.plan;
  if (plan.custom) return not_ours();
  if (!plan.takes_image || image.empty() || source.width <= 0 || source.height <= 0) {
    return wrong_picture(plan.takes_image
                             ? "expected a picture, got an empty one"
                             : "expected the tensor's values, as the preprocessing says 'sample: tensor', got "
                               "a picture");
  }
  VERGE_TRY(s.check_input(input));
  VERGE_ASSIGN(const Region region, s.source_region(source));
  const Region part = in_image(region, source, {image.width, image.height});
  ImageView view{
      image.row(part.y) + static_cast<std::size_t>(part.x) * static_cast<std::size_t>(channels(image.format)),
      part.width, part.height, image.stride_bytes, image.format};
  if (!plan.resize && (part.width != plan.window.width || part.height != plan.window.height)) {
    return wrong_picture("expected the whole picture, as the preprocessing has no resize step, got one decoded scaled");
  }
  if (view.format != plan.colour) {
    copy_pixels(view, plan.colour, s.converted);
    view = s.converted.view();
  }
  const Landing landing =
      plan.resize ? land(*plan.resize, region.width, region.height) : Landing{{region.width, region.height}, 0, 0};
  const Placement placement = s.place(source, region, landing);
  s.write(view, landing, placement, input.data);
  return placement;
}

Result<void> Preprocessor::run_values(std::span<const std::byte> raw, const TensorView& input) {
  State& s = *state_;
  if (s.plan.custom) return not_ours();
  if (s.plan.takes_image)
    return wrong_picture("expected a picture, as the preprocessing says 'sample: image', got values");
  if (input.datatype != s.plan.datatype) {
    return Error(ErrorCode::invalid_argument, "VRG-PRE-011",
                 fmt::format("expected an input of type {}, got {}", name(s.plan.datatype), name(input.datatype)));
  }
  const std::size_t element = s.plan.has_steps ? sizeof(float) : size_bytes(input.datatype);
  const std::size_t own = size_bytes(input.datatype);
  const std::size_t needed = own == 0 ? input.size_bytes : input.size_bytes / own * element;
  if (raw.size() != needed) {
    return Error(ErrorCode::invalid_argument, "VRG-PRE-012",
                 fmt::format("expected {} bytes ({} for the input {}{}), got {}", needed,
                             s.plan.has_steps ? "float32 values" : "values of its own type", name(input.datatype),
                             describe(input.shape), raw.size()));
  }
  if (!s.plan.has_steps) {
    if (needed > 0) std::memcpy(input.data, raw.data(), needed);
    return {};
  }
  s.values.resize(raw.size() / sizeof(float));
  if (!raw.empty()) std::memcpy(s.values.data(), raw.data(), raw.size());
  const auto& step = s.plan.value_normalisation;
  const auto part = [](const std::vector<double>& values, std::size_t i, double absent) {
    return values.empty() ? absent : values[i % values.size()];
  };
  for (std::size_t i = 0; i < s.values.size(); ++i) {
    const double value = static_cast<double>(s.values[i]) * step.scale - part(step.mean, i, 0.0);
    s.values[i] = static_cast<float>(value / part(step.std, i, 1.0));
  }
  return store_values(s.values, s.plan.quantisation, input);
}

}  // namespace verge::processing
