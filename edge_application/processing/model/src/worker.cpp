#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "model_state.hpp"
#include "verge/processing/turnstile.hpp"

namespace verge::processing {
namespace {

/// Nanoseconds since the last lap.
class Stopwatch {
 public:
  std::int64_t lap() noexcept {
    const auto now = std::chrono::steady_clock::now();
    const auto passed = now - last_;
    last_ = now;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// A part of the budget of threads, held only while something runs here.
struct ThreadShare {
  std::shared_ptr<Turnstile> budget;
  unsigned amount = 0;
  Urgency urgency{};
  std::stop_token stop{};
  bool held = false;

  Result<void> take(std::string_view model) {
    if (budget == nullptr || held) return {};
    const auto entry = budget->enter(amount, urgency, stop);
    held = entry == Turnstile::Entry::entered;
    if (held) return {};
    if (entry == Turnstile::Entry::stopped) {
      return Error(ErrorCode::cancelled, "VRG-MDL-008", "stopped while waiting for a free worker");
    }
    return Error(ErrorCode::deadline_exceeded, "VRG-MDL-007",
                 fmt::format("model '{}' had no free thread before the request's deadline; try again later", model));
  }
  void give_back() noexcept {
    if (held) budget->leave(amount);
    held = false;
  }
};

/// Gives back at the end of a call what it has taken.
class ThreadUse {
 public:
  explicit ThreadUse(ThreadShare& share) : share_(share) {}
  ThreadUse(const ThreadUse&) = delete;
  ThreadUse& operator=(const ThreadUse&) = delete;
  ~ThreadUse() { share_.give_back(); }

 private:
  ThreadShare& share_;
};

}  // namespace

struct Worker::State {
  std::shared_ptr<const LoadedModel> model;
  const LoadedModel::State* loaded;
  Request request;
  ImageDecoder decoder;
  Preprocessor preprocessor;
  std::optional<Features> features;  ///< In its place, for samples that are no pictures.
  Postprocessor postprocessor;
  Image image;
  std::vector<TensorView> outputs;
  Prediction prediction;
  StageTimes times;
  std::vector<std::vector<std::int64_t>> shapes;  ///< Of the engine's inputs, as the worker was made.
  std::optional<data_processing::StepWorker> steps{};
  ThreadShare threads{};
  struct Bound {
    std::size_t index = 0;
    std::span<std::byte> own;
  };
  std::vector<Bound> bound_inputs{};
  std::vector<Bound> bound_outputs{};
  bool binds_inputs = true;  ///< As far as is known.
  bool binds_outputs = true;

  /// Takes back what input() has changed: the next caller knows nothing of another's batch.
  Result<void> restore_shapes() {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (std::ranges::equal(shapes[i], request.input(i).shape) || !element_count(shapes[i])) continue;
      VERGE_TRY(request.set_input_shape(i, shapes[i]));
    }
    return {};
  }
  Result<void> collect_outputs() {
    for (std::size_t i = 0; i < outputs.size(); ++i) outputs[i] = request.output(loaded->engine_outputs[i]);
    return {};
  }
  TensorView image_input() const { return request.input(loaded->engine_inputs.front()); }

  /// A custom step that gives classes by number need not know the package's labels.
  void give_labels() {
    const auto fill = [&](auto& entries) {
      for (auto& entry : entries) {
        if (entry.label.empty()) entry.label = postprocessor.label(entry.class_index);
      }
    };
    fill(prediction.classes);
    fill(prediction.boxes);
    fill(prediction.areas);
  }
  Result<void> take_threads() { return threads.take(loaded->package.metadata.name); }

  /// Infers what the input holds and postprocesses it.
  Result<const Prediction*> finish(const Placement& placement, Stopwatch& watch, std::size_t window = 0) {
    VERGE_TRY(take_threads());
    VERGE_TRY(request.run());
    VERGE_TRY(collect_outputs());
    times.infer_ns += watch.lap();
    if (steps && steps->postprocesses()) {
      threads.give_back();
      VERGE_TRY(steps->postprocess(outputs, {placement.source_width, placement.source_height}, prediction));
      give_labels();
    } else if (postprocessor.kind() == PredictionKind::anomaly) {
      VERGE_TRY(postprocessor.run_window(image_input(), outputs, window, prediction));
    } else {
      VERGE_TRY(postprocessor.run(outputs, placement, prediction));
    }
    times.postprocess_ns += watch.lap();
    return &prediction;
  }
  [[nodiscard]] bool has_own_preprocessing() const noexcept { return steps && steps->preprocesses(); }
  /// Lets the package's own step fill the inputs from a picture or raw bytes.
  template <typename Sample>
  Result<void> preprocess_apart(const Sample& sample) {
    threads.give_back();
    VERGE_ASSIGN(const auto made, steps->preprocess(sample));
    for (std::size_t i = 0; i < made.size(); ++i) {
      const std::size_t index = loaded->engine_inputs[i];
      if (!std::ranges::equal(made[i].shape, request.input(index).shape)) {
        VERGE_TRY(request.set_input_shape(index, made[i].shape));
      }
      const TensorView& input = request.input(index);
      std::memcpy(input.data, made[i].data, std::min(input.size_bytes, made[i].size_bytes));
    }
    return {};
  }
  /// One run of the model for each window of the sample.
  Result<const Prediction*> predict_windows(std::span<const std::byte> content, Stopwatch& watch) {
    VERGE_ASSIGN(const std::size_t windows, features->prepare(content));
    if (windows > 1 && postprocessor.kind() != PredictionKind::anomaly) {
      return Error(
          ErrorCode::invalid_argument, "VRG-MDL-010",
          fmt::format("expected a sample of one window, as only 'reconstruction_error' makes one prediction of "
                      "several, got {}; send a shorter sample",
                      windows));
    }
    for (std::size_t window = 0; window < windows; ++window) {
      VERGE_TRY(features->fill(window, image_input()));
      times.preprocess_ns += watch.lap();
      VERGE_TRY(finish({}, watch, window));
    }
    return &prediction;
  }
  Result<const Prediction*> predict(const ImageView& picture, ImageSize source, Stopwatch& watch) {
    if (has_own_preprocessing()) return predict_apart(picture, source, watch);
    VERGE_TRY(take_threads());
    VERGE_TRY(restore_shapes());
    VERGE_ASSIGN(const Placement placement, preprocessor.run(picture, source, image_input()));
    times.preprocess_ns = watch.lap();
    return finish(placement, watch);
  }
  Result<const Prediction*> predict_apart(const ImageView& picture, ImageSize source, Stopwatch& watch) {
    ImageView rgb = picture;
    if (picture.format != PixelFormat::rgb) {
      copy_pixels(picture, PixelFormat::rgb, image);
      rgb = image.view();
    }
    VERGE_TRY(preprocess_apart(rgb));
    times.preprocess_ns = watch.lap();
    Placement placement;
    placement.source_width = source.width;
    placement.source_height = source.height;
    return finish(placement, watch);
  }
  /// A tensor has no source picture: predictions are in the model's own pixels.
  Placement whole_input() const {
    Placement placement;
    const auto shape = image_input().shape;
    if (!preprocessor.takes_image() || shape.size() != 4) return placement;
    const auto& declared = loaded->package.preprocessing.steps;
    const bool channels_first = std::ranges::any_of(
        declared, [](const wire::PreprocessStep& step) { return step.layout == wire::TensorLayout::nchw; });
    placement.model_height = static_cast<int>(shape[channels_first ? 2 : 1]);
    placement.model_width = static_cast<int>(shape[channels_first ? 3 : 2]);
    placement.source_width = placement.content_x1 = placement.model_width;
    placement.source_height = placement.content_y1 = placement.model_height;
    return placement;
  }
  Result<void> check_sample(bool wants_image) const {
    if (preprocessor.takes_image() == wants_image) return {};
    return Error(ErrorCode::failed_precondition, "VRG-MDL-004",
                 fmt::format("model '{}' takes {}; got {}", loaded->package.metadata.name,
                             wants_image ? "no pictures" : "pictures ('sample: image')",
                             wants_image ? "a picture" : "another sample"));
  }
};

Worker::Worker(std::unique_ptr<State> state) : state_(std::move(state)) {}
Worker::Worker(Worker&&) noexcept = default;
Worker& Worker::operator=(Worker&&) noexcept = default;
Worker::~Worker() = default;

Result<Worker> LoadedModel::create_worker() const {
  return create_worker(state_->package.preprocessing);
}

Result<Worker> LoadedModel::create_worker(const wire::Preprocessing& preprocessing) const {
  const State& loaded = *state_;
  VERGE_ASSIGN(Request request, loaded.session->create_request());
  std::optional<Features> features;
  if (Features::needed(preprocessing)) {
    VERGE_ASSIGN(features, Features::compile(preprocessing, package::kPreprocessingFile, loaded.inputs.front()));
  }
  const wire::Preprocessing plain = features ? wire::Preprocessing{.sample = wire::SampleKind::tensor} : preprocessing;
  VERGE_ASSIGN(auto preprocessor, Preprocessor::compile(plain, package::kPreprocessingFile, loaded.inputs.front()));
  VERGE_ASSIGN(auto postprocessor,
               Postprocessor::compile(loaded.package.postprocessing, package::kPostprocessingFile,
                                      loaded.package.labels, loaded.inputs.front(), loaded.outputs));
  bool variable = false;
  for (const auto dimension : loaded.session->inputs()[loaded.engine_inputs.front()].shape) variable |= dimension < 0;
  bool known = true;
  for (const auto dimension : preprocessor.input_shape()) known = known && dimension >= 0;
  if (variable && known && loaded.inputs.size() == 1) {
    VERGE_TRY(request.set_input_shape(loaded.engine_inputs.front(), preprocessor.input_shape()));
  }
  auto state = std::make_unique<Worker::State>(Worker::State{shared_from_this(),
                                                             &loaded,
                                                             std::move(request),
                                                             ImageDecoder(loaded.image_limits),
                                                             std::move(preprocessor),
                                                             std::move(features),
                                                             std::move(postprocessor),
                                                             {},
                                                             {},
                                                             {},
                                                             {}});
  const bool own = std::ranges::any_of(preprocessing.steps, [](const auto& step) { return step.custom.has_value(); });
  if (loaded.steps != nullptr && (own || loaded.steps->order().postprocess)) {
    VERGE_ASSIGN(state->steps, data_processing::StepWorker::start(loaded.steps, own));
  }
  state->outputs.resize(loaded.outputs.size());
  for (std::size_t i = 0; i < loaded.inputs.size(); ++i) {
    const auto shape = state->request.input(i).shape;
    state->shapes.emplace_back(shape.begin(), shape.end());
  }
  return Worker(std::move(state));
}

Result<const Prediction*> Worker::predict_encoded(std::span<const std::byte> content) {
  State& s = *state_;
  VERGE_TRY(s.check_sample(true));
  const ThreadUse use(s.threads);
  VERGE_TRY(s.take_threads());
  Stopwatch watch;
  s.times = {};
  VERGE_ASSIGN(const ImageSize source,
               s.decoder.decode(content, s.preprocessor.colour(), s.image, s.preprocessor.scale_hint()));
  s.times.decode_ns = watch.lap();
  return s.predict(s.image.view(), source, watch);
}

Result<const Prediction*> Worker::predict_image(const ImageView& image) {
  State& s = *state_;
  VERGE_TRY(s.check_sample(true));
  const ThreadUse use(s.threads);
  Stopwatch watch;
  s.times = {};
  return s.predict(image, {image.width, image.height}, watch);
}

Result<const Prediction*> Worker::predict_values(std::span<const std::byte> raw) {
  State& s = *state_;
  VERGE_TRY(s.check_sample(false));
  const ThreadUse use(s.threads);
  Stopwatch watch;
  s.times = {};
  if (s.has_own_preprocessing()) {
    VERGE_TRY(s.preprocess_apart(raw));
    s.times.preprocess_ns = watch.lap();
    return s.finish({}, watch);
  }
  VERGE_TRY(s.take_threads());
  VERGE_TRY(s.restore_shapes());
  if (s.features) return s.predict_windows(raw, watch);
  VERGE_TRY(s.preprocessor.run_values(raw, s.image_input()));
  s.times.preprocess_ns = watch.lap();
  return s.finish({}, watch);
}

Result<const Prediction*> Worker::predict_tensors(std::span<const std::vector<std::byte>> inputs) {
  State& s = *state_;
  const ThreadUse use(s.threads);
  Stopwatch watch;
  s.times = {};
  if (inputs.size() != s.loaded->inputs.size()) {
    return Error(ErrorCode::invalid_argument, "VRG-MDL-005",
                 fmt::format("expected {} input tensors, got {}", s.loaded->inputs.size(), inputs.size()));
  }
  VERGE_TRY(s.restore_shapes());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TensorView& tensor = s.request.input(s.loaded->engine_inputs[i]);
    if (tensor.size_bytes != inputs[i].size()) {
      return Error(ErrorCode::invalid_argument, "VRG-MDL-005",
                   fmt::format("expected {} bytes for input '{}' ({}), got {}", tensor.size_bytes,
                               s.loaded->inputs[i].name, describe(s.loaded->inputs[i]), inputs[i].size()));
    }
    std::memcpy(tensor.data, inputs[i].data(), inputs[i].size());
  }
  s.times.preprocess_ns = watch.lap();
  return s.finish(s.whole_input(), watch);
}

Result<void> check_input_shape(const TensorSpec& spec, std::span<const std::int64_t> shape) {
  bool fits = shape.size() == spec.shape.size();
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = spec.shape[i] < 0 ? shape[i] > 0 : shape[i] == spec.shape[i];
  }
  if (fits) return {};
  return Error(ErrorCode::invalid_argument, "VRG-MDL-005",
               fmt::format("expected input '{}' as {}, got the shape {}", spec.name, describe(spec), describe(shape)));
}

Result<TensorView> Worker::input(std::size_t index, std::span<const std::int64_t> shape) {
  State& s = *state_;
  const TensorSpec& spec = s.loaded->inputs[index];
  VERGE_TRY(check_input_shape(spec, shape));
  const std::size_t engine_index = s.loaded->engine_inputs[index];
  const TensorView& current = s.request.input(engine_index);
  if (!std::equal(shape.begin(), shape.end(), current.shape.begin(), current.shape.end())) {
    VERGE_TRY(s.request.set_input_shape(engine_index, shape));
  }
  return s.request.input(engine_index);
}

Result<std::span<const TensorView>> Worker::infer() {
  State& s = *state_;
  const ThreadUse use(s.threads);
  VERGE_TRY(s.take_threads());
  Stopwatch watch;
  s.times = {};
  VERGE_TRY(s.request.run());
  VERGE_TRY(s.collect_outputs());
  s.times.infer_ns = watch.lap();
  return std::span<const TensorView>(s.outputs);
}

bool Worker::bind_input(std::size_t index, std::span<std::byte> memory) {
  State& s = *state_;
  const std::size_t engine_index = s.loaded->engine_inputs[index];
  const auto own = s.request.input(engine_index).bytes();
  if (!s.binds_inputs) return false;
  const auto bound = s.request.bind_input(engine_index, memory);
  if (bound) s.bound_inputs.push_back({engine_index, own});
  s.binds_inputs = bound || bound.error().code() != ErrorCode::unimplemented;
  return bound.has_value();
}

bool Worker::bind_output(std::size_t index, std::span<std::byte> memory) {
  State& s = *state_;
  const std::size_t engine_index = s.loaded->engine_outputs[index];
  const auto own = s.request.output(engine_index).bytes();
  if (!s.binds_outputs || own.empty()) return false;
  const auto bound = s.request.bind_output(engine_index, memory);
  if (bound) s.bound_outputs.push_back({engine_index, own});
  s.binds_outputs = bound || bound.error().code() != ErrorCode::unimplemented;
  return bound.has_value();
}

void Worker::unbind() {
  State& s = *state_;
  bool whole = true;
  for (const auto& [index, own] : s.bound_inputs) whole = s.request.bind_input(index, own) && whole;
  for (const auto& [index, own] : s.bound_outputs) whole = s.request.bind_output(index, own) && whole;
  s.bound_inputs.clear();
  s.bound_outputs.clear();
  if (whole) return;
  // Memory that is somebody else's again must not be touched, whatever the engine's reason.
  if (auto fresh = s.loaded->session->create_request()) s.request = std::move(*fresh);
}

Result<std::vector<LayerTime>> Worker::profile() const {
  return state_->request.profile();
}
std::span<const TensorView> Worker::last_outputs() const noexcept {
  return state_->outputs;
}
const StageTimes& Worker::times() const noexcept {
  return state_->times;
}
const Postprocessor& Worker::postprocessor() const noexcept {
  return state_->postprocessor;
}
const LoadedModel& Worker::model() const noexcept {
  return *state_->model;
}
void Worker::use_threads(std::shared_ptr<Turnstile> budget, unsigned threads) {
  state_->threads.budget = std::move(budget);
  state_->threads.amount = threads;
}
void Worker::set_urgency(const Urgency& urgency, const std::stop_token& stop) {
  state_->threads.urgency = urgency;
  state_->threads.stop = stop;
}

}  // namespace verge::processing
