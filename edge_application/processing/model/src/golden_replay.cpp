#include "verge/processing/golden_replay.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/base/file.hpp"

namespace verge::processing {
namespace {

constexpr std::uint64_t kSampleLimitBytes = std::uint64_t{256} << 20U;

std::string label_of(std::string_view label, int class_index) {
  return label.empty() ? std::to_string(class_index) : std::string(label);
}

std::string compare_classes(const wire::GoldenSample& sample, const Prediction& got, double tolerance) {
  for (std::size_t i = 0; i < sample.classes.size(); ++i) {
    const auto& expected = sample.classes[i];
    const auto found = std::ranges::find_if(
        got.classes, [&](const ClassScore& c) { return label_of(c.label, c.class_index) == expected.label; });
    if (found == got.classes.end()) {
      return fmt::format("expected class '{}' ({:.3f}), got '{}' ({:.3f}) first and not that one", expected.label,
                         expected.score,
                         got.classes.empty() ? "" : label_of(got.classes[0].label, got.classes[0].class_index),
                         got.classes.empty() ? 0.0F : got.classes[0].score);
    }
    if (!(std::abs(static_cast<double>(found->score) - expected.score) <= tolerance)) {
      return fmt::format("expected class '{}' with score {:.3f} ± {:.3f}, got {:.3f}", expected.label, expected.score,
                         tolerance, found->score);
    }
    // Classes whose scores are within the tolerance may change places.
    if (i == 0 && got.classes[0].score - found->score > static_cast<float>(tolerance)) {
      return fmt::format("expected class '{}' first, got '{}'", expected.label,
                         label_of(got.classes[0].label, got.classes[0].class_index));
    }
  }
  return {};
}

double overlap(const wire::ExpectedBox& expected, const Box& box) {
  const double width = std::min<double>(expected.box[2], box.x1) - std::max<double>(expected.box[0], box.x0);
  const double height = std::min<double>(expected.box[3], box.y1) - std::max<double>(expected.box[1], box.y0);
  if (width <= 0 || height <= 0) return 0;
  const double both = width * height;
  const double area = (expected.box[2] - expected.box[0]) * (expected.box[3] - expected.box[1]) +
                      static_cast<double>((box.x1 - box.x0) * (box.y1 - box.y0));
  return both / (area - both);
}

/// Smallest score that the definition lets through; boxes near it may come or go.
std::optional<double> score_limit(const wire::Postprocessing& definition) {
  std::optional<double> limit;
  for (const auto& step : definition.steps) {
    if (step.score_threshold) limit = step.score_threshold->score;
  }
  return limit;
}

std::string compare_boxes(const wire::GoldenSample& sample, const Prediction& got, const wire::Tolerance& tolerance,
                          std::optional<double> limit) {
  const auto near_limit = [&](double score) { return limit && score <= *limit + tolerance.score; };
  std::vector<bool> used(got.boxes.size());
  for (const auto& expected : sample.boxes) {
    bool found = false;
    for (std::size_t i = 0; i < got.boxes.size() && !found; ++i) {
      const Box& box = got.boxes[i];
      found = !used[i] && label_of(box.label, box.class_index) == expected.label &&
              overlap(expected, box) >= tolerance.box_iou &&
              std::abs(static_cast<double>(box.score) - expected.score) <= tolerance.score;
      if (found) used[i] = true;
    }
    if (!found && !near_limit(expected.score)) {
      return fmt::format("expected a '{}' ({:.3f}) at [{:.0f}, {:.0f}, {:.0f}, {:.0f}], got no such box among {}",
                         expected.label, expected.score, expected.box[0], expected.box[1], expected.box[2],
                         expected.box[3], got.boxes.size());
    }
  }
  for (std::size_t i = 0; i < got.boxes.size(); ++i) {
    const Box& box = got.boxes[i];
    if (!used[i] && !near_limit(static_cast<double>(box.score))) {
      return fmt::format("got a '{}' ({:.3f}) at [{:.0f}, {:.0f}, {:.0f}, {:.0f}] that is not expected",
                         label_of(box.label, box.class_index), box.score, box.x0, box.y0, box.x1, box.y1);
    }
  }
  return {};
}

Result<std::string> compare_mask(const std::filesystem::path& file, double min_iou, const Mask& got) {
  VERGE_ASSIGN(const auto content, read_file(file, kSampleLimitBytes));
  ImageDecoder decoder;
  Image expected;
  VERGE_TRY(decoder.decode(content, PixelFormat::grey, expected));
  if (expected.width() != got.width || expected.height() != got.height) {
    return fmt::format("expected a mask of {} × {}, got {} × {}", expected.width(), expected.height(), got.width,
                       got.height);
  }
  std::array<std::uint64_t, 256> both{};
  std::array<std::uint64_t, 256> in_expected{};
  std::array<std::uint64_t, 256> in_got{};
  for (int y = 0; y < got.height; ++y) {
    const std::uint8_t* a = expected.row(y);
    const std::uint8_t* b = got.classes.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(got.width);
    for (int x = 0; x < got.width; ++x) {
      ++in_expected.at(a[x]);
      ++in_got.at(b[x]);
      if (a[x] == b[x]) ++both.at(a[x]);
    }
  }
  double sum = 0;
  int classes = 0;
  for (std::size_t c = 0; c < both.size(); ++c) {
    if (in_expected.at(c) == 0) continue;
    sum += static_cast<double>(both.at(c)) / static_cast<double>(in_expected.at(c) + in_got.at(c) - both.at(c));
    ++classes;
  }
  const double mean = sum / std::max(classes, 1);
  if (mean >= min_iou) return std::string();
  return fmt::format("expected a mask with mean IoU ≥ {:.3f}, got {:.3f}", min_iou, mean);
}

Result<std::string> compare_output(const TensorSpec& spec, const TensorView& got, std::span<const std::byte> raw,
                                   const wire::Tolerance& tolerance) {
  if (raw.size() != got.size_bytes) {
    return fmt::format("expected {} bytes of output '{}', got {}", raw.size(), spec.name, got.size_bytes);
  }
  std::vector<std::byte> copy(raw.begin(), raw.end());
  TensorView expected = got;
  expected.data = copy.data();
  std::vector<float> wanted;
  std::vector<float> values;
  VERGE_TRY(load_values(expected, std::nullopt, wanted));
  VERGE_TRY(load_values(got, std::nullopt, values));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = std::abs(static_cast<double>(values[i]) - static_cast<double>(wanted[i]));
    const double allowed = tolerance.absolute + tolerance.relative * std::abs(static_cast<double>(wanted[i]));
    if (!(difference <= allowed)) {
      return fmt::format("expected output '{}' value {} to be {} ± {:.4g}, got {}", spec.name, i, wanted[i], allowed,
                         values[i]);
    }
  }
  return std::string();
}

bool near(double got, double wanted, const wire::Tolerance& tolerance) {
  return std::abs(got - wanted) <= tolerance.absolute + tolerance.relative * std::abs(wanted);
}

std::string compare_numbers(const wire::GoldenSample& sample, const Prediction& got, const wire::Tolerance& tolerance) {
  if (sample.error && !near(static_cast<double>(got.anomaly.error), *sample.error, tolerance)) {
    return fmt::format("expected an error of {}, got {}", *sample.error, got.anomaly.error);
  }
  for (const auto& [name, wanted] : sample.values) {
    const auto found = std::ranges::find(got.values, name, &NamedValue::name);
    if (found == got.values.end()) return fmt::format("expected a value '{}', got none", name);
    if (!near(static_cast<double>(found->value), wanted, tolerance)) {
      return fmt::format("expected '{}' to be {}, got {}", name, wanted, found->value);
    }
  }
  return {};
}

/// Where two JSON values differ, numbers by more than the tolerance; empty: nowhere.
std::string json_difference(const nlohmann::json& wanted, const nlohmann::json& got, const wire::Tolerance& tolerance,
                            const std::string& place) {
  const auto differs = [&] {
    return fmt::format("expected '{}' to be {}, got {}", place.empty() ? "the prediction" : place, wanted.dump(),
                       got.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  };
  if (wanted.is_number() && got.is_number()) {
    return near(got.get<double>(), wanted.get<double>(), tolerance) ? std::string() : differs();
  }
  if (wanted.type() != got.type() || wanted.size() != got.size()) return differs();
  if (!wanted.is_structured()) return wanted == got ? std::string() : differs();
  for (const auto& [key, value] : wanted.items()) {
    const bool list = wanted.is_array();
    if (!list && !got.contains(key)) return differs();
    const auto& other = list ? got[std::stoul(key)] : got[key];
    const std::string inner = place.empty() ? key : place + "." + key;
    if (auto text = json_difference(value, other, tolerance, inner); !text.empty()) return text;
  }
  return {};
}

Result<std::string> compare_custom(const std::filesystem::path& file, const Prediction& got,
                                   const wire::Tolerance& tolerance) {
  constexpr std::uint64_t kLimitBytes = std::uint64_t{4} << 20U;
  VERGE_ASSIGN(const auto text, read_text(file, kLimitBytes));
  const auto wanted = nlohmann::json::parse(text, nullptr, false);
  if (wanted.is_discarded()) {
    return Error(ErrorCode::invalid_argument, "VRG-MDL-011",
                 fmt::format("expected JSON in '{}', got something else; correct the file", file.string()));
  }
  if (got.kind != PredictionKind::custom) {
    return fmt::format("expected a prediction of kind 'custom', got '{}'", name(got.kind));
  }
  return json_difference(wanted, nlohmann::json::parse(got.custom, nullptr, false), tolerance, "");
}

Result<const Prediction*> run_sample(Worker& worker, const wire::GoldenSample& sample) {
  const auto& package = worker.model().package();
  if (sample.image) {
    VERGE_ASSIGN(const auto path, package.file("golden", *sample.image));
    VERGE_ASSIGN(const auto content, read_file(path, kSampleLimitBytes));
    return worker.predict_encoded(content);
  }
  if (sample.sample) {
    VERGE_ASSIGN(const auto path, package.file("golden", *sample.sample));
    VERGE_ASSIGN(const auto content, read_file(path, kSampleLimitBytes));
    return worker.predict_values(content);
  }
  std::vector<std::vector<std::byte>> tensors;
  for (const auto& name : sample.tensors) {
    VERGE_ASSIGN(const auto path, package.file("golden", name));
    VERGE_ASSIGN(auto content, read_file(path, kSampleLimitBytes));
    tensors.push_back(std::move(content));
  }
  return worker.predict_tensors(tensors);
}

Result<std::string> difference(Worker& worker, const wire::GoldenSample& sample) {
  const auto& package = worker.model().package();
  VERGE_ASSIGN(const Prediction* got, run_sample(worker, sample));
  const wire::Tolerance tolerance = sample.tolerance.value_or(wire::Tolerance{});
  if (!sample.outputs.empty()) {
    const auto outputs = worker.last_outputs();
    if (sample.outputs.size() != outputs.size()) {
      return fmt::format("expected {} outputs, got {}", sample.outputs.size(), outputs.size());
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      VERGE_ASSIGN(const auto path, package.file("golden", sample.outputs[i]));
      VERGE_ASSIGN(const auto raw, read_file(path, kSampleLimitBytes));
      VERGE_ASSIGN(std::string text, compare_output(worker.model().outputs()[i], outputs[i], raw, tolerance));
      if (!text.empty()) return text;
    }
  }
  if (!sample.classes.empty()) {
    auto text = compare_classes(sample, *got, tolerance.score);
    if (!text.empty()) return text;
  }
  if (!sample.boxes.empty()) {
    auto text = compare_boxes(sample, *got, tolerance, score_limit(package.postprocessing));
    if (!text.empty()) return text;
  }
  if (auto text = compare_numbers(sample, *got, tolerance); !text.empty()) return text;
  if (sample.custom) {
    VERGE_ASSIGN(const auto path, package.file("golden", *sample.custom));
    VERGE_ASSIGN(auto text, compare_custom(path, *got, tolerance));
    if (!text.empty()) return text;
  }
  if (sample.mask) {
    VERGE_ASSIGN(const auto path, package.file("golden", sample.mask->file));
    return compare_mask(path, sample.mask->min_iou, got->mask);
  }
  return std::string();
}

}  // namespace

Result<std::vector<GoldenResult>> replay_golden(Worker& worker) {
  std::vector<GoldenResult> results;
  for (const auto& sample : worker.model().package().golden.samples) {
    auto text = difference(worker, sample);
    if (!text) return in(fmt::format("golden sample '{}'", sample.name), std::move(text));
    results.push_back({sample.name, text->empty(), std::move(*text)});
  }
  return results;
}

}  // namespace verge::processing
