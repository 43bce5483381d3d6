#include "verge/processing/loaded_model.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model_state.hpp"

namespace verge::processing {
namespace {

bool shapes_agree(std::span<const std::int64_t> declared, std::span<const std::int64_t> actual) {
  return std::equal(declared.begin(), declared.end(), actual.begin(), actual.end(),
                    [](std::int64_t a, std::int64_t b) { return a == b || a < 0 || b < 0; });
}

/// Engine's tensor for each declared one: by name where the engine knows all the names, else by position.
Result<std::vector<std::size_t>> match(std::string_view what, std::vector<TensorSpec>& declared,
                                       std::span<const TensorSpec> actual) {
  const auto refuse = [&](std::size_t index, const std::string& got) {
    return Error(ErrorCode::failed_precondition, "VRG-MDL-002",
                 fmt::format("metadata.json does not fit the model file: expected {} {} to be {} '{}', got {}; correct "
                             "metadata.json, or make it anew with 'verge package init'",
                             what, index, describe(declared[index]), declared[index].name, got));
  };
  if (declared.size() != actual.size()) {
    return Error(ErrorCode::failed_precondition, "VRG-MDL-002",
                 fmt::format("metadata.json does not fit the model file: it declares {} {}s, the model has {}; make it "
                             "anew with 'verge package init'",
                             declared.size(), what, actual.size()));
  }
  const auto named = [&](const std::string& name) {
    return static_cast<std::size_t>(std::ranges::find(actual, name, &TensorSpec::name) - actual.begin());
  };
  // A name that stands twice says nothing: each tensor of the model is used once.
  const bool by_name = std::ranges::all_of(declared, [&](const TensorSpec& spec) {
    return named(spec.name) < actual.size() && std::ranges::count(declared, spec.name, &TensorSpec::name) == 1;
  });
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < declared.size(); ++i) {
    const std::size_t index = by_name ? named(declared[i].name) : i;
    const TensorSpec& found = actual[index];
    if (found.datatype != declared[i].datatype || !shapes_agree(declared[i].shape, found.shape)) {
      return refuse(i, fmt::format("{} '{}'", describe(found), found.name));
    }
    if (found.quantisation) declared[i].quantisation = found.quantisation;
    order.push_back(index);
  }
  return order;
}

Precision precision(wire::Precision wanted) {
  switch (wanted) {
    case wire::Precision::f32: return Precision::f32;
    case wire::Precision::bf16: return Precision::bf16;
    case wire::Precision::f16: return Precision::f16;
    case wire::Precision::automatic: return Precision::automatic;
  }
  return Precision::f32;
}

/// What an engine must be told of a TorchScript file, which does not say what it takes: in order, the place is the
/// name.
std::string inputs_option(std::span<const wire::Tensor> inputs) {
  std::string text;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    text += fmt::format("{}input{} {} [{}]", i == 0 ? "" : "; ", i, wire::name(inputs[i].datatype),
                        fmt::join(inputs[i].shape, ","));
  }
  return text;
}

/// What the package's custom steps are, when it has any.
std::optional<data_processing::StepOrder> custom_steps(const package::ModelPackage& package) {
  data_processing::StepOrder order;
  for (const auto& step : package.preprocessing.steps) order.preprocess = step.custom;
  for (const auto& step : package.postprocessing.steps) order.postprocess = step.custom;
  if (!order.preprocess && !order.postprocess) return std::nullopt;
  order.package = package.root;
  order.takes_image = package.preprocessing.sample == wire::SampleKind::image;
  for (const auto& file : package.files) {
    std::error_code failed;
    if (!std::filesystem::is_symlink(package.root / file.path, failed)) continue;
    auto place = std::filesystem::canonical(package.root / file.path, failed);
    if (!failed) order.elsewhere.push_back(std::move(place));
  }
  return order;
}

}  // namespace

std::vector<TensorSpec> declared_tensors(std::span<const wire::Tensor> tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& tensor : tensors) {
    TensorSpec spec;
    spec.name = tensor.name;
    spec.datatype = data_type(wire::name(tensor.datatype)).value_or(DataType::fp32);
    spec.shape = tensor.shape;
    if (tensor.quantisation) {
      spec.quantisation = Quantisation{static_cast<float>(tensor.quantisation->scale),
                                       static_cast<std::int32_t>(tensor.quantisation->zero_point)};
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

Result<void> check_processing(const package::ModelPackage& package) {
  const auto inputs = declared_tensors(package.metadata.inputs);
  const auto outputs = declared_tensors(package.metadata.outputs);
  if (Features::needed(package.preprocessing)) {
    VERGE_ASSIGN(const auto features,
                 Features::compile(package.preprocessing, package::kPreprocessingFile, inputs.front()));
  } else {
    VERGE_ASSIGN(const auto preprocessor,
                 Preprocessor::compile(package.preprocessing, package::kPreprocessingFile, inputs.front()));
  }
  VERGE_ASSIGN(const auto postprocessor, Postprocessor::compile(package.postprocessing, package::kPostprocessingFile,
                                                                package.labels, inputs.front(), outputs));
  return {};
}

LoadedModel::LoadedModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
LoadedModel::~LoadedModel() = default;

Result<std::shared_ptr<LoadedModel>> LoadedModel::load(package::ModelPackage package, EngineCatalogue& engines,
                                                       const LoadOptions& options) {
  const auto context = fmt::format("model '{}'", package.metadata.name);
  if (auto checked = check_processing(package); !checked) return in(context, std::move(checked));
  auto state = std::make_unique<State>();
  const std::string wanted = options.engine.empty() ? std::string(wire::name(package.metadata.engine)) : options.engine;
  if (wanted == "auto" || options.goal) {
    auto choice = choose_engine(package, engines, options, wanted);
    if (!choice) return in(context, std::move(choice));
    state->choice = std::move(*choice);
  } else {
    state->choice.engine = wanted;
    state->choice.settings = {options.threads > 0 ? options.threads : options.available_threads,
                              std::max(options.max_workers, 1U), std::max<std::int64_t>(options.batch_rows, 1)};
  }
  SessionOptions session;
  session.format = wire::name(package.metadata.model.format);
  session.threads = state->choice.settings.threads;
  session.max_requests = state->choice.settings.workers;
  session.precision = precision(package.metadata.precision);
  session.isolation = options.isolation;
  session.profile = options.profile;
  if (state->choice.engine == "torch") session.options.emplace_back("inputs", inputs_option(package.metadata.inputs));
  const bool keeps = options.keep_compiled && !options.state_directory.empty();
  if (keeps) session.cache_directory = options.state_directory / "compiled";
  auto path = package.model_file();
  if (!path) return in(context, std::move(path));
  auto loaded = engines.load(state->choice.engine, *path, session);
  if (!loaded) return in(context, std::move(loaded));
  state->session = std::move(*loaded);
  state->inputs = declared_tensors(package.metadata.inputs);
  state->outputs = declared_tensors(package.metadata.outputs);
  auto input_order = match("input", state->inputs, state->session->inputs());
  if (!input_order) return in(context, std::move(input_order));
  auto output_order = match("output", state->outputs, state->session->outputs());
  if (!output_order) return in(context, std::move(output_order));
  state->engine_inputs = std::move(*input_order);
  state->engine_outputs = std::move(*output_order);
  state->takes_image = package.preprocessing.sample == wire::SampleKind::image;
  state->image_limits = options.image_limits;
  state->scratch = options.scratch;
  if (auto order = custom_steps(package)) {
    order->inputs = state->inputs;
    order->outputs = state->outputs;
    auto how = options.custom_steps;
    if (options.isolation) {
      how.max_restarts = options.isolation->max_restarts;
      how.restart_window = options.isolation->restart_window;
    }
    auto steps = data_processing::CustomSteps::create(std::move(*order), std::move(how));
    if (!steps) return in(context, std::move(steps));
    state->steps = std::move(*steps);
  }
  state->package = std::move(package);
  return std::shared_ptr<LoadedModel>(new LoadedModel(std::move(state)));
}

const package::ModelPackage& LoadedModel::package() const noexcept {
  return state_->package;
}
std::span<const TensorSpec> LoadedModel::inputs() const noexcept {
  return state_->inputs;
}
std::span<const TensorSpec> LoadedModel::outputs() const noexcept {
  return state_->outputs;
}
const EngineChoice& LoadedModel::choice() const noexcept {
  return state_->choice;
}
std::string_view LoadedModel::engine_version() const noexcept {
  return state_->session->engine_version();
}
bool LoadedModel::has_custom_steps() const noexcept {
  return state_->steps != nullptr;
}
bool LoadedModel::isolated() const {
  return state_->session->isolated() || has_custom_steps();
}
std::size_t LoadedModel::restarts() const {
  return state_->session->restarts() + (has_custom_steps() ? state_->steps->restarts() : 0);
}
bool LoadedModel::given_up() const {
  return state_->session->given_up() || (has_custom_steps() && state_->steps->given_up());
}
bool LoadedModel::takes_image() const noexcept {
  return state_->takes_image;
}

}  // namespace verge::processing
