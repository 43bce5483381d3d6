#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/processing/draft.hpp"
#include "verge/processing/loaded_model.hpp"

namespace verge::processing {
namespace {

struct ValueRange {
  std::string_view words;
  std::optional<wire::NormaliseStep> step;
};

wire::NormaliseStep normalise(double scale, std::vector<double> mean, std::vector<double> std) {
  wire::NormaliseStep step;
  step.scale = scale;
  step.mean = std::move(mean);
  step.std = std::move(std);
  return step;
}

std::vector<ValueRange> value_ranges(const TensorSpec& input) {
  if (input.datatype == DataType::uint8) return {{"pixels as they are", std::nullopt}};
  return {{"0 … 255", std::nullopt},
          {"0 … 1", normalise(1.0 / 255.0, {}, {})},
          {"-1 … 1", normalise(1.0, {127.5}, {127.5})},
          {"ImageNet", normalise(1.0 / 255.0, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225})}};
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

struct Geometry {
  std::string_view words;
  wire::ResizeMode mode;
};
constexpr std::array<Geometry, 4> kGeometries{{{"stretch", wire::ResizeMode::stretch},
                                               {"fit", wire::ResizeMode::fit},
                                               {"letterbox", wire::ResizeMode::letterbox},
                                               {"centre crop", wire::ResizeMode::centre_crop}}};

/// The package's own definition with colour, values and geometry replaced.
wire::Preprocessing combine(const wire::Preprocessing& base, wire::Colour colour, const ValueRange& values,
                            wire::ResizeMode mode) {
  wire::Preprocessing made = base;
  made.steps.clear();
  const auto add = [&](auto set) {
    wire::PreprocessStep step;
    set(step);
    made.steps.push_back(std::move(step));
  };
  wire::DecodeStep decode;  // Also where the definition leaves it out.
  decode.colour = colour;
  add([&](auto& step) { step.decode = decode; });
  for (const auto& old : base.steps) {
    if (old.normalise || old.crop || old.decode) continue;
    if (old.resize) {
      wire::ResizeStep resize = *old.resize;
      resize.mode = mode;
      add([&](auto& step) { step.resize = resize; });
      if (values.step) add([&](auto& step) { step.normalise = values.step; });
    } else {
      made.steps.push_back(old);
    }
  }
  return made;
}

/// Fills in what the prediction says about the expected label.
void judge(const Prediction& prediction, const std::string& wanted, Combination& result) {
  const auto see = [&](std::string_view label, float score) {
    if (result.label.empty()) {
      result.label = label;
      result.score = score;
      result.agrees = lower(label).find(wanted) != std::string::npos;
    }
    if (lower(label).find(wanted) != std::string::npos) result.expected_score = std::max(result.expected_score, score);
  };
  for (const auto& found : prediction.classes) see(found.label, found.score);
  for (const auto& found : prediction.boxes) see(found.label, found.score);
  for (const auto& found : prediction.areas) see(found.label, found.fraction);
  if (prediction.kind == PredictionKind::mask) result.agrees = result.expected_score > 0.01F;
}

}  // namespace

Result<std::vector<Combination>> try_combinations(const package::ModelPackage& package, EngineCatalogue& engines,
                                                  const std::filesystem::path& picture, std::string_view expect) {
  const std::string wanted = lower(expect);
  const auto refuse = [&](const std::string& why) { return Error(ErrorCode::failed_precondition, "VRG-DRF-003", why); };
  if (package.preprocessing.sample != wire::SampleKind::image) return refuse("the model takes no pictures");
  if (package.labels.empty())
    return refuse("the package has no labels to compare with; add 'labels' to postprocessing.yaml");
  if (std::ranges::none_of(package.labels, [&](const auto& l) { return lower(l).find(wanted) != std::string::npos; })) {
    return refuse(fmt::format("none of the {} labels holds '{}'; name one that does", package.labels.size(), expect));
  }
  LoadOptions options;
  VERGE_ASSIGN(const auto model, LoadedModel::load(package, engines, options));
  const TensorSpec& input = model->inputs().front();
  VERGE_ASSIGN(const auto content, read_file(picture, std::uint64_t{256} << 20U));
  const bool grey = std::ranges::any_of(package.preprocessing.steps, [](const auto& step) {
    return step.decode && step.decode->colour == wire::Colour::grey;
  });
  std::vector<wire::Colour> colours{wire::Colour::rgb, wire::Colour::bgr};
  if (grey) colours = {wire::Colour::grey};
  std::vector<Combination> results;
  ImageDecoder decoder;
  for (const auto colour : colours) {
    Image image;
    const auto format = colour == wire::Colour::rgb   ? PixelFormat::rgb
                        : colour == wire::Colour::bgr ? PixelFormat::bgr
                                                      : PixelFormat::grey;
    VERGE_TRY(decoder.decode(content, format, image));
    for (const auto& values : value_ranges(input)) {
      if (grey && values.words == "ImageNet") continue;
      for (const auto& geometry : kGeometries) {
        Combination combination;
        combination.preprocessing = combine(package.preprocessing, colour, values, geometry.mode);
        combination.colour = wire::name(colour);
        combination.values = values.words;
        combination.geometry = geometry.words;
        VERGE_ASSIGN(auto worker, model->create_worker(combination.preprocessing));
        VERGE_ASSIGN(const Prediction* prediction, worker.predict_image(image.view()));
        judge(*prediction, wanted, combination);
        results.push_back(std::move(combination));
      }
    }
  }
  std::ranges::stable_sort(results, [](const Combination& a, const Combination& b) {
    return std::pair(a.agrees, a.expected_score) > std::pair(b.agrees, b.expected_score);
  });
  return results;
}

}  // namespace verge::processing
