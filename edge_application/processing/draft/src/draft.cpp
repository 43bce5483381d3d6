#include "verge/processing/draft.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/text.hpp"

namespace verge::processing {
namespace {

/// What one run on a grey picture tells about an output.
struct Observed {
  float lowest = 0;
  float highest = 0;
  float sum_of_last = 0;  ///< Sum over the last dimension, at its first position.
};

std::string package_name(const std::filesystem::path& model) {
  std::string name;
  for (const char c : model.stem().string()) {
    const auto lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool word = std::isalnum(static_cast<unsigned char>(lower)) != 0;
    if (word || (!name.empty() && name.back() != '_' && name.back() != '-' && name.back() != '.')) {
      name += word || c == '-' || c == '.' ? lower : '_';
    }
  }
  while (!name.empty() && std::isalnum(static_cast<unsigned char>(name.back())) == 0) name.pop_back();
  return name.empty() ? "model" : name;
}

wire::Tensor declared(const TensorSpec& spec) {
  wire::Tensor tensor;
  tensor.name = spec.name.empty() ? "tensor" : spec.name;
  tensor.datatype = wire::to_data_type(name(spec.datatype)).value_or(wire::DataType::fp32);
  tensor.shape = spec.shape;
  if (spec.quantisation) {
    wire::Quantisation quantisation;
    quantisation.scale = static_cast<double>(spec.quantisation->scale);
    quantisation.zero_point = spec.quantisation->zero_point;
    tensor.quantisation = quantisation;
  }
  return tensor;
}

constexpr int kUnknownSide = 224;  ///< Of a picture whose size the model leaves open.

/// Runs the model once on mid-grey values.
Result<std::vector<Observed>> observe(Session& session, bool picture) {
  VERGE_ASSIGN(Request request, session.create_request());
  for (std::size_t i = 0; i < session.inputs().size(); ++i) {
    const TensorSpec& spec = session.inputs()[i];
    if (std::ranges::any_of(spec.shape, [](auto d) { return d < 0; })) {
      auto shape = spec.shape;
      for (std::size_t d = 0; d < shape.size(); ++d) {
        if (shape[d] < 0) shape[d] = picture && d > 0 ? kUnknownSide : 1;
      }
      VERGE_TRY(request.set_input_shape(i, shape));
    }
    const TensorView& input = request.input(i);
    if (input.datatype == DataType::bytes || input.datatype == DataType::bool_) continue;
    std::vector<float> values(input.size_bytes / size_bytes(input.datatype), 0.5F);
    VERGE_TRY(store_values(values, spec.quantisation, input));
  }
  VERGE_TRY(request.run());
  std::vector<Observed> observed;
  for (std::size_t i = 0; i < session.outputs().size(); ++i) {
    const TensorView& output = request.output(i);
    std::vector<float> values;
    Observed seen;
    if (load_values(output, session.outputs()[i].quantisation, values) && !values.empty()) {
      const auto [low, high] = std::ranges::minmax(values);
      seen.lowest = low;
      seen.highest = high;
      const auto last = output.shape.empty() ? std::size_t{1} : static_cast<std::size_t>(output.shape.back());
      for (std::size_t v = 0; v < std::min(last, values.size()); ++v) seen.sum_of_last += values[v];
    }
    observed.push_back(seen);
  }
  return observed;
}

struct PictureInput {
  bool channels_first = false;
  int width = 0, height = 0, channels = 0;
};

std::optional<PictureInput> picture_input(const TensorSpec& spec) {
  const auto& s = spec.shape;
  if (s.size() != 4 || (s[0] != 1 && s[0] != -1)) return std::nullopt;
  const auto is_channels = [](std::int64_t d) { return d == 1 || d == 3; };
  const auto sized = [](std::int64_t d) { return d < 0 ? kUnknownSide : static_cast<int>(d); };
  // [1,49,10,1] is a spectrogram, not a picture: real pictures are not that flat.
  const auto plausible = [](int w, int h) { return w >= 16 && h >= 16; };
  PictureInput input;
  if (is_channels(s[3])) {
    input = {false, sized(s[2]), sized(s[1]), static_cast<int>(s[3])};
  } else if (is_channels(s[1])) {
    input = {true, sized(s[3]), sized(s[2]), static_cast<int>(s[1])};
  } else {
    return std::nullopt;
  }
  return plausible(input.width, input.height) ? std::optional(input) : std::nullopt;
}

wire::PreprocessStep normalise_step(double scale, std::vector<double> mean, std::vector<double> std) {
  wire::NormaliseStep normalise;
  normalise.scale = scale;
  normalise.mean = std::move(mean);
  normalise.std = std::move(std);
  wire::PreprocessStep step;
  step.normalise = std::move(normalise);
  return step;
}

void guess_values(Draft& draft, const TensorSpec& input, const PictureInput& picture) {
  auto& steps = draft.preprocessing.steps;
  const auto guess = [&](std::string value, std::string why, bool certain) {
    draft.guesses.push_back({"values", std::move(value), std::move(why), certain});
  };
  if (input.datatype == DataType::uint8) {
    guess("pixels as they are", "the input is UINT8", true);
  } else if (input.datatype == DataType::int8 && input.quantisation) {
    const double low = (-128.0 - input.quantisation->zero_point) * static_cast<double>(input.quantisation->scale);
    const double high = (127.0 - input.quantisation->zero_point) * static_cast<double>(input.quantisation->scale);
    if (high <= 1.5 && low >= -0.5) {
      steps.push_back(normalise_step(1.0 / 255.0, {}, {}));
    } else if (high <= 1.5) {
      steps.push_back(normalise_step(1.0, {127.5}, {127.5}));
    }
    wire::PreprocessStep quantise;
    quantise.quantise = wire::QuantiseStep{};
    steps.push_back(std::move(quantise));
    guess("quantised by the tensor's own scale", fmt::format("the input holds {:.3g} to {:.3g}", low, high), true);
  } else if (picture.channels == 1) {
    steps.push_back(normalise_step(1.0 / 255.0, {}, {}));
    guess("0 … 1", "usual for one channel", false);
  } else if (picture.channels_first) {
    steps.push_back(normalise_step(1.0 / 255.0, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}));
    guess("ImageNet mean and deviation", "usual for models of PyTorch (channels first)", false);
  } else if (draft.metadata.model.format == wire::ModelFormat::tflite) {
    steps.push_back(normalise_step(1.0, {127.5}, {127.5}));
    guess("-1 … 1", "usual for float TensorFlow Lite models", false);
  } else {
    steps.push_back(normalise_step(1.0 / 255.0, {}, {}));
    guess("0 … 1", "usual for TensorFlow models", false);
  }
}

std::int64_t grid_cells(const PictureInput& picture) {
  std::int64_t cells = 0;
  for (const int stride : {8, 16, 32}) cells += std::int64_t{picture.width / stride} * (picture.height / stride);
  return cells;
}

enum class Grid { none, rows, columns };

/// Whether the first output has one row (YOLOX, YOLOv5) or one column (YOLOv8) for each grid cell.
Grid grid_of(const TensorSpec& output, const PictureInput& picture) {
  const auto& s = output.shape;
  if (s.size() == 3 && s[1] == grid_cells(picture) && s[2] > 5) return Grid::rows;
  if (s.size() == 3 && s[2] == grid_cells(picture) && s[1] > 4) return Grid::columns;
  return Grid::none;
}

/// YOLO-type models have customs of their own, which follow from the form of the head.
void draft_grid_input(Draft& draft, Grid grid) {
  auto& steps = draft.preprocessing.steps;
  const bool yolox = grid == Grid::rows;
  steps[0].decode->colour = yolox ? wire::Colour::bgr : wire::Colour::rgb;
  steps[1].resize->mode = yolox ? wire::ResizeMode::fit : wire::ResizeMode::letterbox;
  steps[1].resize->antialias = false;
  steps[1].resize->pad = {114};
  if (!yolox) steps.push_back(normalise_step(1.0 / 255.0, {}, {}));
  const std::string why = yolox ? "one row for each grid cell: as YOLOX" : "one column for each grid cell: as YOLOv8";
  draft.guesses.push_back({"colour order", yolox ? "bgr" : "rgb", why, false});
  draft.guesses.push_back({"geometry", yolox ? "fit, padded with 114" : "letterbox, padded with 114", why, false});
  draft.guesses.push_back({"values", yolox ? "0 … 255" : "0 … 1", why, false});
}

void draft_preprocessing(Draft& draft, const TensorSpec& input, const std::optional<PictureInput>& picture, Grid grid) {
  draft.preprocessing.version = 1;
  if (!picture) {
    draft.preprocessing.sample = wire::SampleKind::tensor;
    draft.guesses.push_back(
        {"sample", "tensor", fmt::format("{} does not look like a picture", describe(input)), false});
    return;
  }
  draft.preprocessing.sample = wire::SampleKind::image;
  const auto add = [&](auto set) {
    wire::PreprocessStep step;
    set(step);
    draft.preprocessing.steps.push_back(std::move(step));
  };
  wire::DecodeStep decode;
  decode.colour = picture->channels == 1 ? wire::Colour::grey : wire::Colour::rgb;
  add([&](auto& step) { step.decode = decode; });
  wire::ResizeStep resize;
  resize.width = picture->width;
  resize.height = picture->height;
  add([&](auto& step) { step.resize = resize; });
  draft.guesses.push_back({"layout", picture->channels_first ? "nchw" : "nhwc",
                           fmt::format("{} has its {} channel(s) {}", describe(input), picture->channels,
                                       picture->channels_first ? "in front" : "last"),
                           true});
  const auto finish = [&] {
    if (picture->channels_first) add([](auto& step) { step.layout = wire::TensorLayout::nchw; });
  };
  if (grid != Grid::none) {
    draft_grid_input(draft, grid);
    return finish();
  }
  if (picture->channels == 3)
    draft.guesses.push_back({"colour order", "rgb", "usual; OpenCV-trained models want bgr", false});
  draft.guesses.push_back({"geometry", fmt::format("stretched to {} × {}", picture->width, picture->height),
                           "the model's input size; whether the aspect ratio is kept is not in the file", false});
  guess_values(draft, input, *picture);
  finish();
}

void add_step(Draft& draft, auto set) {
  wire::PostprocessStep step;
  set(step);
  draft.postprocessing.steps.push_back(std::move(step));
}

void draft_classification(Draft& draft, const TensorSpec& output, const Observed& seen) {
  draft.metadata.task = wire::Task::classification;
  // An 8-bit output of 1/256 steps is made for probabilities; small ones are lost, so that they need not sum to 1.
  const bool steps_of_256 = output.quantisation && std::abs(output.quantisation->scale - 1.0F / 256.0F) < 1e-6F;
  const bool scores = seen.lowest >= -1e-3F && (steps_of_256 || std::abs(seen.sum_of_last - 1.0F) < 0.05F);
  if (!scores) add_step(draft, [](auto& step) { step.softmax = wire::ActivationStep{}; });
  add_step(draft, [](auto& step) { step.top_k = wire::TopKStep{}; });
  draft.guesses.push_back({"task", "classification", fmt::format("one output {}", describe(output)), false});
  draft.guesses.push_back({"softmax", scores ? "already in the model" : "added",
                           steps_of_256 ? std::string("the output is quantised in steps of 1/256")
                                        : fmt::format("one run gave values that sum to {:.3f}", seen.sum_of_last),
                           false});
}

void draft_segmentation(Draft& draft, const TensorSpec& output, const Observed& seen, const PictureInput& picture) {
  draft.metadata.task = wire::Task::segmentation;
  wire::SegmentationStep map;
  const auto& s = output.shape;
  std::string how;
  const bool integers = output.datatype == DataType::int64 || output.datatype == DataType::int32;
  if (s.size() == 3 || integers) {
    map.method = integers ? wire::SegmentationMethod::labels : wire::SegmentationMethod::threshold;
  } else if (s.size() == 4) {
    const bool first = picture.channels_first && s[1] != picture.height;
    if (first) map.layout = wire::MapLayout::nchw;
    map.method = s[first ? 1 : 3] == 1 ? wire::SegmentationMethod::threshold : wire::SegmentationMethod::argmax;
  } else {
    map.method = wire::SegmentationMethod::threshold;
    map.width = picture.width;
    map.height = picture.height;
  }
  if (map.method == wire::SegmentationMethod::threshold && (seen.lowest < -0.01F || seen.highest > 1.01F)) {
    add_step(draft, [](auto& step) { step.sigmoid = wire::ActivationStep{}; });
    draft.guesses.push_back(
        {"sigmoid", "added", fmt::format("one run gave {:.2f} to {:.2f}", seen.lowest, seen.highest), false});
  }
  how = wire::name(map.method);
  add_step(draft, [&](auto& step) { step.segmentation = map; });
  draft.guesses.push_back(
      {"task", "segmentation by " + how, fmt::format("one output {} of the input's size", describe(output)), false});
}

bool is_box_set(std::span<const TensorSpec> outputs) {
  return outputs.size() == 4 && outputs[0].shape.size() == 3 && outputs[0].shape[2] == 4 &&
         outputs[1].shape.size() == 2 && outputs[2].shape.size() == 2;
}

void draft_detection(Draft& draft, bool built_in, bool channels_first, std::string why) {
  draft.metadata.task = wire::Task::detection;
  if (built_in) {
    add_step(draft, [](auto& step) { step.ssd_detections = wire::SsdDetectionsStep{}; });
  } else {
    wire::YoloGridStep grid;
    grid.channels_first = channels_first;
    if (channels_first) {
      grid.decode = wire::GridDecode::none;
      grid.objectness = false;
    }
    add_step(draft, [&](auto& step) { step.yolo_grid = grid; });
  }
  wire::ScoreThresholdStep threshold;
  threshold.score = 0.5;
  add_step(draft, [&](auto& step) { step.score_threshold = threshold; });
  if (!built_in) add_step(draft, [](auto& step) { step.nms = wire::NmsStep{}; });
  draft.guesses.push_back(
      {"task", built_in ? "detection, boxes from the model" : "detection, YOLO-type grid", std::move(why), false});
}

void draft_postprocessing(Draft& draft, std::span<const TensorSpec> outputs, std::span<const Observed> seen,
                          const std::optional<PictureInput>& picture, Grid grid) {
  draft.postprocessing.version = 1;
  draft.metadata.task = wire::Task::tensor;
  const auto& shape = outputs.front().shape;
  const auto known = element_count(shape).value_or(0);
  if (picture && is_box_set(outputs)) {
    draft_detection(draft, true, false, "four outputs: boxes, classes, scores, count");
  } else if (picture && grid == Grid::rows) {
    draft_detection(draft, false, false, fmt::format("{} has one row for each grid cell", describe(outputs.front())));
  } else if (picture && grid == Grid::columns) {
    draft_detection(draft, false, true, fmt::format("{} has one column for each grid cell", describe(outputs.front())));
  } else if (picture &&
             (shape.size() == 4 || shape.size() == 3 ||
              known == static_cast<std::size_t>(picture->width) * static_cast<std::size_t>(picture->height))) {
    draft_segmentation(draft, outputs.front(), seen.front(), *picture);
  } else if (outputs.size() == 1 && shape.size() == 2 && shape[1] >= 2 && picture) {
    draft_classification(draft, outputs.front(), seen.front());
  } else {
    draft.guesses.push_back(
        {"task", "tensor",
         fmt::format("{} output(s), the first {}: the raw values are given", outputs.size(), describe(outputs.front())),
         false});
  }
}

std::string model_card(const Draft& draft) {
  std::string card =
      fmt::format("# {} {}\n\n{} model, {} file.\n\n## Guessed when this package was drafted\n\n", draft.metadata.name,
                  draft.metadata.version, wire::name(draft.metadata.task), wire::name(draft.metadata.model.format));
  for (const auto& guess : draft.guesses) {
    card += fmt::format("- {}: {} ({}{})\n", guess.what, guess.value, guess.certain ? "" : "a guess: ", guess.why);
  }
  return card + "\n## Intended use, training data, limits\n\nFill in what users must know.\n";
}

}  // namespace

Result<wire::ModelFormat> model_format(const std::filesystem::path& model) {
  std::error_code failed;
  if (!std::filesystem::exists(model, failed)) {
    return Error(ErrorCode::not_found, "VRG-DRF-001",
                 fmt::format("expected a model file at '{}', where there is nothing; check the path", model.string()));
  }
  if (std::filesystem::is_directory(model, failed)) {
    if (std::filesystem::exists(model / "saved_model.pb", failed)) return wire::ModelFormat::tensorflow;
  } else {
    std::array<char, 8> head{};
    std::ifstream(model, std::ios::binary).read(head.data(), head.size());
    if (std::memcmp(head.data() + 4, "TFL3", 4) == 0) return wire::ModelFormat::tflite;
    if (std::memcmp(head.data() + 4, "ET12", 4) == 0) return wire::ModelFormat::executorch;
    const auto extension = model.extension().string();
    if (extension == ".onnx") return wire::ModelFormat::onnx;
    if (extension == ".tflite") return wire::ModelFormat::tflite;
    if (extension == ".pb") return wire::ModelFormat::tensorflow;
    if (extension == ".xml") return wire::ModelFormat::openvino;
    if (extension == ".pte") return wire::ModelFormat::executorch;
    if (extension == ".pt" || extension == ".ptl") return wire::ModelFormat::torchscript;
    if (extension == ".fake") return wire::ModelFormat::fake;
  }
  return Error(ErrorCode::invalid_argument, "VRG-DRF-001",
               fmt::format("expected a model (.onnx, .tflite, TensorFlow .pb or SavedModel folder, .pte, .pt, .ptl, "
                           "OpenVINO .xml; .h5 and .keras by the converter), got '{}'; convert it to one of these",
                           model.string()));
}

Result<Draft> draft_package(const std::filesystem::path& model, EngineCatalogue& engines, std::string_view engine,
                            const std::string& inputs) {
  VERGE_ASSIGN(const wire::ModelFormat format, model_format(model));
  std::shared_ptr<Session> session;
  std::string refusals;
  for (const auto& name : engines.names()) {
    if (!engine.empty() && engine != "auto" && name != engine) continue;
    auto info = engines.info(name);
    if (!info) {
      refusals += fmt::format("; {}: {}", name, info.error().message());
      continue;
    }
    if (std::ranges::find(info->formats, wire::name(format)) == info->formats.end()) continue;
    SessionOptions options;
    options.format = wire::name(format);
    if (!inputs.empty()) options.options.emplace_back("inputs", inputs);
    auto loaded = engines.load(name, model, options);
    if (loaded) {
      session = std::move(*loaded);
      break;
    }
    refusals += fmt::format("; {}: {}", name, loaded.error().message());
  }
  if (session == nullptr) {
    return Error(ErrorCode::failed_precondition, "VRG-DRF-004",
                 fmt::format("no engine of this machine reads the {} model '{}'{}", wire::name(format), model.string(),
                             refusals.empty() ? "; install one that does" : refusals));
  }
  Draft draft;
  draft.metadata.schema_version = 1;
  draft.metadata.name = package_name(model);
  draft.metadata.version = "1.0.0";
  draft.metadata.model.format = format;
  draft.metadata.model.file = "model_files/" + model.filename().string();
  for (const auto& spec : session->inputs()) draft.metadata.inputs.push_back(declared(spec));
  for (const auto& spec : session->outputs()) draft.metadata.outputs.push_back(declared(spec));
  if (session->inputs().empty() || session->outputs().empty()) {
    return Error(ErrorCode::invalid_argument, "VRG-DRF-004",
                 fmt::format("expected a model with inputs and outputs, got {} and {}", session->inputs().size(),
                             session->outputs().size()));
  }
  const auto picture = session->inputs().size() == 1 ? picture_input(session->inputs().front()) : std::nullopt;
  const Grid grid = picture ? grid_of(session->outputs().front(), *picture) : Grid::none;
  draft_preprocessing(draft, session->inputs().front(), picture, grid);
  VERGE_ASSIGN(const auto seen, observe(*session, picture.has_value()));
  draft_postprocessing(draft, session->outputs(), seen, picture, grid);
  return draft;
}

Result<void> write_draft(const Draft& draft, const std::filesystem::path& model, const std::filesystem::path& labels,
                         const std::filesystem::path& folder, bool link) {
  std::error_code failed;
  if (std::filesystem::exists(folder, failed) && !std::filesystem::is_empty(folder, failed)) {
    return Error(ErrorCode::already_exists, "VRG-DRF-002",
                 fmt::format("'{}' holds something already; name another folder with --output", folder.string()));
  }
  wire::Postprocessing postprocessing = draft.postprocessing;
  if (!labels.empty()) {
    VERGE_ASSIGN(const auto content, read_file(labels, package::kLabelFileLimitBytes));
    VERGE_TRY(write_file(folder / "postprocessing" / "labels.txt", content));
    postprocessing.labels = "labels.txt";
  }
  for (const auto& [place, script] : draft.scripts) {
    VERGE_ASSIGN(const auto content, read_file(script, package::kPluginLimitBytes));
    VERGE_TRY(write_file(folder / place, content));
  }
  const auto target = folder / draft.metadata.model.file;
  std::filesystem::create_directories(target.parent_path(), failed);
  if (link) {
    std::filesystem::create_symlink(std::filesystem::absolute(model), target, failed);
  } else {
    std::filesystem::copy(model, target, std::filesystem::copy_options::recursive, failed);
    const auto weights = std::filesystem::path(model).replace_extension(".bin");
    if (!failed && draft.metadata.model.format == wire::ModelFormat::openvino) {
      std::filesystem::copy_file(weights, target.parent_path() / weights.filename(), failed);
    }
  }
  if (failed) {
    return Error(ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot copy '{}' to '{}': {}", model.string(), target.string(), failed.message()));
  }
  VERGE_TRY(write_file(folder / package::kPreprocessingFile,
                       std::string_view(wire::write_yaml(wire::to_node(draft.preprocessing)))));
  VERGE_TRY(write_file(folder / package::kPostprocessingFile,
                       std::string_view(wire::write_yaml(wire::to_node(postprocessing)))));
  VERGE_TRY(write_file(folder / package::kModelCardFile, std::string_view(model_card(draft))));
  return write_file(folder / package::kMetadataFile, std::string_view(wire::write_json(wire::to_node(draft.metadata))));
}

}  // namespace verge::processing
