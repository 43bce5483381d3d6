#include "verge/processing/features.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "plan.hpp"
#include "spectrum.hpp"
#include "table_row.hpp"
#include "wav.hpp"
#include "waveform.hpp"

namespace verge::processing {

struct Features::State {
  FeaturePlan plan;
  std::optional<Spectrogram> spectrogram;
  std::optional<MelFilters> mel;
  std::optional<CosineTransform> dct;
  std::vector<float> rows;     ///< Of the sample that was prepared.
  std::vector<float> scratch;  ///< Of each step; its memory is kept.
  std::size_t windows = 0;

  Result<void> read_sound(std::span<const std::byte> content);
  Result<void> read_values(std::span<const std::byte> content);
  void normalise();
  Result<void> count_windows();
};

Features::Features(std::unique_ptr<State> state) : state_(std::move(state)) {}
Features::Features(Features&&) noexcept = default;
Features& Features::operator=(Features&&) noexcept = default;
Features::~Features() = default;

bool Features::needed(const wire::Preprocessing& definition) noexcept {
  if (std::ranges::any_of(definition.steps, [](const auto& step) { return step.custom.has_value(); })) return false;
  return definition.sample == wire::SampleKind::audio || definition.sample == wire::SampleKind::table ||
         std::ranges::any_of(definition.steps, [](const auto& step) { return step.windows.has_value(); });
}

Result<Features> Features::compile(const wire::Preprocessing& definition, std::string_view origin,
                                   const TensorSpec& input) {
  auto state = std::make_unique<State>();
  VERGE_ASSIGN(state->plan, check_features(definition, origin, input));
  const FeaturePlan& plan = state->plan;
  if (plan.spectrogram) {
    state->spectrogram.emplace(*plan.spectrogram);
    std::size_t columns = state->spectrogram->columns();
    if (plan.mel) {
      state->mel.emplace(*plan.mel, static_cast<unsigned>(plan.audio->sample_rate), columns);
      columns = static_cast<std::size_t>(plan.mel->bands);
    }
    if (plan.dct) state->dct.emplace(columns, static_cast<std::size_t>(plan.dct->coefficients));
  }
  return Features(std::move(state));
}

std::span<const std::int64_t> Features::input_shape() const noexcept {
  return state_->plan.shape;
}

Result<void> Features::State::read_sound(std::span<const std::byte> content) {
  VERGE_ASSIGN(const unsigned rate, read_wav(content, rows));
  shape_waveform(*plan.audio, rate, rows, scratch);
  const auto apply = [this](auto&& step) {
    step.run(rows, scratch);
    rows.swap(scratch);
  };
  if (spectrogram) apply(*spectrogram);
  if (mel) apply(*mel);
  if (plan.log) {
    for (float& value : rows) {
      const double floored = std::max(static_cast<double>(value), plan.log->floor);
      value = static_cast<float>(plan.log->scale * std::log(floored + plan.log->offset));
    }
  }
  if (dct) apply(*dct);
  return {};
}

Result<void> Features::State::read_values(std::span<const std::byte> content) {
  const std::size_t row_bytes = plan.columns * sizeof(float);
  if (content.empty() || content.size() % row_bytes != 0) {
    return Error(ErrorCode::invalid_argument, "VRG-FEA-012",
                 fmt::format("expected whole rows of {} float32 values ({} bytes), got {} bytes", plan.columns,
                             row_bytes, content.size()));
  }
  rows.resize(content.size() / sizeof(float));
  std::memcpy(rows.data(), content.data(), content.size());
  return {};
}

void Features::State::normalise() {
  if (!plan.normalise) return;
  const auto& step = *plan.normalise;
  const auto part = [](const std::vector<double>& values, std::size_t i, double absent) {
    return values.empty() ? absent : values[i % values.size()];
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t column = i % plan.columns;
    const double value = static_cast<double>(rows[i]) * step.scale - part(step.mean, column, 0.0);
    rows[i] = static_cast<float>(value / part(step.std, column, 1.0));
  }
}

Result<void> Features::State::count_windows() {
  const std::size_t count = rows.size() / plan.columns;
  const bool whole = !plan.windows;
  if (whole ? count != plan.window_rows : count < plan.window_rows) {
    return Error(ErrorCode::invalid_argument, "VRG-FEA-012",
                 fmt::format("expected {} {} rows of {} values, which the model takes, got {}; {}",
                             whole ? "exactly" : "at least", plan.window_rows, plan.columns, count,
                             plan.audio ? "send a sound of the right length, or set 'duration_ms' in the 'audio' step"
                                        : "send as many"));
  }
  windows = whole ? 1 : (count - plan.window_rows) / plan.window_stride + 1;
  return {};
}

Result<std::size_t> Features::prepare(std::span<const std::byte> content) {
  State& s = *state_;
  s.windows = 0;
  switch (s.plan.sample) {
    case wire::SampleKind::audio: VERGE_TRY(s.read_sound(content)); break;
    case wire::SampleKind::table: VERGE_TRY(read_row(content, s.plan.table, s.rows)); break;
    default: VERGE_TRY(s.read_values(content)); break;
  }
  s.normalise();
  VERGE_TRY(s.count_windows());
  return s.windows;
}

Result<void> Features::fill(std::size_t window, const TensorView& input) const {
  const State& s = *state_;
  const std::size_t values = s.plan.window_rows * s.plan.columns;
  if (window >= s.windows || input.datatype != s.plan.datatype ||
      input.size_bytes != values * size_bytes(s.plan.datatype)) {
    return Error(ErrorCode::invalid_argument, "VRG-FEA-015",
                 fmt::format("expected an input of type {} with {} values for window {} of {}, got {} with {} bytes",
                             name(s.plan.datatype), values, window, s.windows, name(input.datatype), input.size_bytes));
  }
  const auto first = window * s.plan.window_stride * s.plan.columns;
  return store_values(std::span(s.rows).subspan(first, values), s.plan.quantisation, input);
}

}  // namespace verge::processing
