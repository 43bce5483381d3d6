#include "plan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "table_row.hpp"

namespace verge::processing {
namespace {

using wire::SampleKind;

/// Steps in the order in which they may stand.
enum class Stage { start, audio, columns, spectrogram, mel, log, dct, normalise, windows, quantise };

class Checker {
 public:
  Checker(const wire::Preprocessing& definition, std::string_view origin, const TensorSpec& input)
      : definition_(definition), origin_(origin), input_(input) {
    plan_.sample = definition.sample;
    plan_.datatype = input.datatype;
    plan_.shape = input.shape;
    if (!plan_.shape.empty() && plan_.shape.front() < 0) plan_.shape.front() = 1;
  }

  Result<FeaturePlan> check() {
    for (const auto& step : definition_.steps) {
      ++number_;
      VERGE_TRY(take(step));
    }
    number_ = 0;
    line_ = definition_.line;
    if (plan_.sample == SampleKind::audio && !plan_.audio) {
      return error("VRG-FEA-001",
                   "expected the step 'audio' first, as this is 'sample: audio'; add it with the "
                   "'sample_rate' that the model was trained with");
    }
    if (plan_.sample == SampleKind::table && plan_.table.empty()) {
      return error("VRG-FEA-001",
                   "expected the step 'columns', as this is 'sample: table'; add it with the columns "
                   "that the model takes");
    }
    VERGE_TRY(check_datatype());
    VERGE_TRY(count_columns());
    VERGE_TRY(check_normalise());
    return std::move(plan_);
  }

 private:
  [[nodiscard]] Error error(std::string_view id, std::string_view what) const {
    const std::string step = number_ == 0 ? std::string() : fmt::format("step {} ({}): ", number_, step_);
    const std::string line = line_ == 0 ? std::string() : fmt::format(" line {}", line_);
    return {ErrorCode::invalid_argument, id, fmt::format("{}{}: {}{}", origin_, line, step, what)};
  }

  Result<void> enter(Stage stage, std::string_view step, int line, std::span<const SampleKind> samples) {
    step_ = step;
    line_ = line;
    if (std::ranges::find(samples, plan_.sample) == samples.end()) {
      return error("VRG-FEA-003", fmt::format("'{}' does not go with 'sample: {}'; remove the step, or change 'sample'",
                                              step, wire::name(plan_.sample)));
    }
    if (stage <= stage_) {
      return error("VRG-FEA-001",
                   fmt::format("expected the order audio or columns, spectrogram, mel, log, dct, normalise, windows, "
                               "quantise, each once, got '{}' after '{}'; move or remove it",
                               step, last_));
    }
    stage_ = stage;
    last_ = step;
    return {};
  }

  Result<void> need_spectrogram(std::string_view step) const {
    if (plan_.spectrogram) return {};
    return error("VRG-FEA-001", fmt::format("expected 'spectrogram' before '{}'; add it", step));
  }

  Result<void> take(const wire::PreprocessStep& step) {
    constexpr std::array kAudio{SampleKind::audio};
    constexpr std::array kFrames{SampleKind::audio, SampleKind::tensor};
    constexpr std::array kTable{SampleKind::table};
    constexpr std::array kAny{SampleKind::audio, SampleKind::tensor, SampleKind::table};
    if (step.audio) {
      VERGE_TRY(enter(Stage::audio, "audio", step.line, kAudio));
      plan_.audio = step.audio;
    } else if (step.spectrogram) {
      VERGE_TRY(enter(Stage::spectrogram, "spectrogram", step.line, kAudio));
      return take_spectrogram(*step.spectrogram);
    } else if (step.mel) {
      VERGE_TRY(enter(Stage::mel, "mel", step.line, kAudio));
      VERGE_TRY(need_spectrogram("mel"));
      if (step.mel->high_hz <= step.mel->low_hz) {
        return error("VRG-FEA-002",
                     fmt::format("expected 'high_hz' above 'low_hz' {}, got {}", step.mel->low_hz, step.mel->high_hz));
      }
      plan_.mel = step.mel;
    } else if (step.log) {
      VERGE_TRY(enter(Stage::log, "log", step.line, kAudio));
      plan_.log = step.log;
    } else if (step.dct) {
      VERGE_TRY(enter(Stage::dct, "dct", step.line, kAudio));
      VERGE_TRY(need_spectrogram("dct"));
      plan_.dct = step.dct;
    } else if (!step.columns.empty()) {
      VERGE_TRY(enter(Stage::columns, "columns", step.line, kTable));
      plan_.table = step.columns;
    } else if (step.normalise) {
      VERGE_TRY(enter(Stage::normalise, "normalise", step.line, kFrames));
      plan_.normalise = step.normalise;
    } else if (step.windows) {
      VERGE_TRY(enter(Stage::windows, "windows", step.line, kFrames));
      plan_.windows = step.windows;
    } else if (step.quantise) {
      VERGE_TRY(enter(Stage::quantise, "quantise", step.line, kAny));
      return take_quantise();
    } else {
      step_ = step.decode ? "decode" : step.crop ? "crop" : step.resize ? "resize" : "layout";
      line_ = step.line;
      return error("VRG-FEA-003", fmt::format("'{}' works on pictures, and this is 'sample: {}'; remove the step",
                                              step_, wire::name(plan_.sample)));
    }
    return {};
  }

  Result<void> take_spectrogram(const wire::SpectrogramStep& step) {
    const auto fft =
        step.fft.value_or(static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(step.window))));
    if (fft < step.window || fft % 2 != 0) {
      return error("VRG-FEA-002",
                   fmt::format("expected an even 'fft' of at least the window {}, got {}", step.window, fft));
    }
    plan_.spectrogram = step;
    return {};
  }

  Result<void> take_quantise() {
    if (!input_.quantisation || !std::isfinite(input_.quantisation->scale) || input_.quantisation->scale <= 0) {
      return error("VRG-FEA-004",
                   fmt::format("expected an input with a scale and a zero point, got '{}' {}; remove the "
                               "step",
                               input_.name, describe(input_)));
    }
    plan_.quantisation = input_.quantisation;
    return {};
  }

  Result<void> check_datatype() {
    const bool number = input_.datatype != DataType::bytes && input_.datatype != DataType::bool_;
    if (number) return {};
    return error("VRG-FEA-004", fmt::format("expected an input of numbers, got '{}' {}; use 'sample: tensor' without "
                                            "steps for it",
                                            input_.name, describe(input_)));
  }

  /// Columns of the rows, and how many rows the model sees at once.
  Result<void> count_columns() {
    const auto total = element_count(plan_.shape);
    if (!total || *total == 0) {
      return error("VRG-FEA-002",
                   fmt::format("expected an input of a fixed shape, got '{}' {}", input_.name, describe(input_)));
    }
    std::size_t columns = 0;
    if (!plan_.table.empty()) columns = value_count(plan_.table);
    if (plan_.spectrogram) {
      const auto window = static_cast<std::uint64_t>(plan_.spectrogram->window);
      columns =
          static_cast<std::size_t>(plan_.spectrogram->fft.value_or(static_cast<std::int64_t>(std::bit_ceil(window)))) /
              2 +
          1;
      if (plan_.mel) columns = static_cast<std::size_t>(plan_.mel->bands);
      if (plan_.dct) {
        if (static_cast<std::size_t>(plan_.dct->coefficients) > columns) {
          return error("VRG-FEA-002",
                       fmt::format("expected at most {} coefficients, got {}", columns, plan_.dct->coefficients));
        }
        columns = static_cast<std::size_t>(plan_.dct->coefficients);
      }
    } else if (plan_.audio) {
      columns = 1;
    }
    const auto rows = plan_.windows ? static_cast<std::size_t>(plan_.windows->rows) : 0;
    if (columns == 0) columns = rows > 0 && *total % rows == 0 ? *total / rows : 0;
    if (columns == 0 || *total % columns != 0 || (rows > 0 && rows * columns != *total)) {
      return error(
          "VRG-FEA-002",
          fmt::format("expected the input '{}' {} to take {} of {} values, which the steps give; change the "
                      "steps so that they agree",
                      input_.name, describe(input_), rows > 0 ? fmt::format("{} rows", rows) : "whole rows", columns));
    }
    plan_.columns = columns;
    plan_.window_rows = *total / columns;
    // Without the step the whole sample is one window.
    plan_.window_stride = plan_.windows ? static_cast<std::size_t>(plan_.windows->stride) : 0;
    return check_duration();
  }

  /// A sound of a fixed length makes a fixed number of rows: what does not fit is found here, not at every sample.
  Result<void> check_duration() {
    if (!plan_.audio || !plan_.audio->duration_ms) return {};
    const auto samples =
        static_cast<std::size_t>(*plan_.audio->duration_ms) * static_cast<std::size_t>(plan_.audio->sample_rate) / 1000;
    std::size_t rows = samples;
    if (plan_.spectrogram) {
      const auto window = static_cast<std::size_t>(plan_.spectrogram->window);
      rows = samples < window ? 0 : (samples - window) / static_cast<std::size_t>(plan_.spectrogram->stride) + 1;
    }
    const bool fits = plan_.windows ? rows >= plan_.window_rows : rows == plan_.window_rows;
    if (fits) return {};
    return error("VRG-FEA-002", fmt::format("expected {} rows for the input '{}' {}, which 'duration_ms', 'window' and "
                                            "'stride' should make, got {}; correct them",
                                            plan_.window_rows, input_.name, describe(input_), rows));
  }

  Result<void> check_normalise() const {
    if (!plan_.normalise) return {};
    for (const auto* values : {&plan_.normalise->mean, &plan_.normalise->std}) {
      if (values->size() > 1 && values->size() != plan_.columns) {
        return error("VRG-FEA-002", fmt::format("expected 1 or {} values in 'mean' and 'std' of 'normalise', got {}",
                                                plan_.columns, values->size()));
      }
    }
    return {};
  }

  const wire::Preprocessing& definition_;
  std::string_view origin_;
  const TensorSpec& input_;
  FeaturePlan plan_;
  Stage stage_ = Stage::start;
  std::string_view last_;
  std::string_view step_;
  std::size_t number_ = 0;
  int line_ = 0;
};

}  // namespace

Result<FeaturePlan> check_features(const wire::Preprocessing& definition, std::string_view origin,
                                   const TensorSpec& input) {
  return Checker(definition, origin, input).check();
}

}  // namespace verge::processing
