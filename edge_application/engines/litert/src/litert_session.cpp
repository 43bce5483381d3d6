#include "litert_session.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "litert_request.hpp"

namespace verge::engines::litert {
namespace {

/// Custom operators that LiteRT 2.3 brings (tflite/core/kernels/register.cc, litert/runtime/compiled_model.cc).
constexpr std::array<std::string_view, 8> kCustomOperators{"TFLite_Detection_PostProcess",
                                                           "Convolution2DTransposeBias",
                                                           "MaxPoolingWithArgmax2D",
                                                           "MaxUnpooling2D",
                                                           "AudioSpectrogram",
                                                           "Mfcc",
                                                           "NumericVerify",
                                                           "aeq.hadamard_rotation"};

std::string missing_operators(const TfliteModel& file) {
  std::string missing;
  for (const std::string& name : file.custom_operators) {
    if (std::find(kCustomOperators.begin(), kCustomOperators.end(), name) != kCustomOperators.end()) continue;
    missing += (missing.empty() ? "" : ", ") + name;
  }
  return missing;
}

}  // namespace

void check(int status, const char* operation) {
  if (status == kStatusOk) return;
  const std::string text = std::string("LiteRT: ") + operation + ": " + status_text(status);
  if (status == kStatusMemoryAllocationFailure) throw Failure(VERGE_ENGINE_OUT_OF_MEMORY, text);
  if (status == kStatusInvalidFlatbuffer) throw Failure(VERGE_ENGINE_CORRUPT, text + "; get the file again");
  throw Failure(VERGE_ENGINE_FAILED, text);
}

std::unique_ptr<Session> Session::create(const verge_engine_load& load) {
  check_format(load, "litert", kFormats);
  check_device_is_cpu(load, "litert");
  check_options(load, "litert", {});
  static_cast<void>(functions());  // Before the model is judged: without the library nothing else matters.
  return std::make_unique<Session>(load);
}

Session::Session(const verge_engine_load& load)
    : content_(load.model_path), file_(read_tflite(content_.bytes())), max_requests_(std::max(1U, load.max_requests)) {
  if (const std::string missing = missing_operators(file_); !missing.empty()) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "the model needs the custom operators " + missing + ", which LiteRT " +
                                                VERGE_LITERT_VERSION " does not bring");
  }
  // CPU alone: LiteRT would look for GPU and NPU libraries as well. Silent: what fails is returned, not logged.
  const std::array<EnvironmentOption, 2> settings{
      EnvironmentOption{kTagAutoRegisterAccelerators, {kAnyTypeInt, kAcceleratorCpu}},
      EnvironmentOption{kTagMinLoggerSeverity, {kAnyTypeInt, kSeveritySilent}}};
  Environment environment = nullptr;
  check(functions().CreateEnvironment(settings.size(), settings.data(), &environment), "making an environment");
  environment_.reset(environment);
  Model model = nullptr;
  check(functions().CreateModelFromBuffer(environment, content_.bytes().data(), content_.bytes().size(), &model),
        "reading the model");
  model_.reset(model);
  make_options(load);
  // Here and not at the first request, so that what cannot be compiled is refused when it is loaded.
  idle_.push_back(compile());
  for (const TfliteTensor& input : file_.inputs) inputs_.push_back(input.description);
  const auto shapes = output_shapes(*idle_.front());
  for (std::size_t i = 0; i < file_.outputs.size(); ++i) {
    outputs_.push_back(file_.outputs[i].description);
    // Custom operators such as TFLite_Detection_PostProcess leave their outputs without a shape in the file.
    if (outputs_.back().shape.empty()) outputs_.back().shape = shapes[i];
  }
}

void Session::make_options(const verge_engine_load& load) {
  Options options = nullptr;
  check(functions().CreateOptions(&options), "making options");
  options_.reset(options);
  check(functions().SetOptionsHardwareAccelerators(options, kAcceleratorCpu), "choosing the CPU");

  // The CPU's options are a TOML text under the name "xnnpack" (litert/c/options/litert_cpu_options.cc): the functions
  // that write it, LrtSetCpuOptions…, are not exported. 0 threads: LiteRT's default, which is one.
  std::string text;
  if (load.threads > 0) text += "num_threads = " + std::to_string(load.threads) + "\n";
  const std::string_view delegate = load.delegate == nullptr ? "" : load.delegate;
  if (delegate == "none") {
    text += "kernel_mode = \"builtin\"\n";
  } else if (!delegate.empty() && delegate != "xnnpack") {
    throw Failure(VERGE_ENGINE_UNSUPPORTED,
                  "engine 'litert' has the delegates xnnpack and none, got '" + std::string(delegate) + "'");
  }
  if (text.empty()) return;
  char* payload = ::strdup(text.c_str());
  if (payload == nullptr) throw std::bad_alloc();
  OpaqueOptions opaque = nullptr;
  if (const int status = functions().CreateOpaqueOptions("xnnpack", payload, std::free, &opaque); status != kStatusOk) {
    std::free(payload);
    check(status, "making options of the CPU");
  }
  check(functions().AddOpaqueOptions(options, opaque), "adding options of the CPU");
}

std::unique_ptr<Instance> Session::compile() {
  auto instance = std::make_unique<Instance>();
  CompiledModel compiled = nullptr;
  const int status = functions().CreateCompiledModel(environment_.get(), model_.get(), options_.get(), &compiled);
  if (status == kStatusMemoryAllocationFailure) check(status, "compiling the model");
  if (status != kStatusOk) {
    // The structure was verified: what is left is a graph that this version cannot build.
    throw Failure(VERGE_ENGINE_UNSUPPORTED, std::string("LiteRT " VERGE_LITERT_VERSION " cannot build the model: ") +
                                                status_text(status) +
                                                "; an operator or its version is not known to "
                                                "it, or its shapes do not fit");
  }
  instance->compiled.reset(compiled);
  check(functions().SetCompiledModelCancellationFunction(
            compiled, &instance->is_cancelled,
            [](void* flag) { return static_cast<std::atomic<bool>*>(flag)->load(std::memory_order_relaxed); }),
        "setting the cancellation");
  return instance;
}

std::unique_ptr<Instance> Session::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return compile();
  std::unique_ptr<Instance> instance = std::move(idle_.back());
  idle_.pop_back();
  return instance;
}

void Session::give_back(std::unique_ptr<Instance> instance) noexcept {
  if (instance == nullptr || instance->is_resized) return;
  instance->is_cancelled = false;
  const std::lock_guard lock(mutex_);
  if (idle_.size() >= max_requests_) return;
  try {
    idle_.push_back(std::move(instance));
  } catch (...) {
    // Without memory to keep it, it goes.
  }
}

std::vector<std::vector<std::int64_t>> Session::output_shapes(const Instance& instance) const {
  std::vector<Layout> layouts(file_.outputs.size());
  const int status =
      functions().GetCompiledModelOutputTensorLayouts(instance.compiled.get(), 0, layouts.size(), layouts.data(), true);
  if (status != kStatusOk) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT,
                  std::string("the model cannot run with these input shapes: ") + status_text(status));
  }
  std::vector<std::vector<std::int64_t>> shapes;
  for (const Layout& layout : layouts) {
    if (layout.rank > VERGE_ENGINE_MAX_RANK) {
      throw Failure(VERGE_ENGINE_UNSUPPORTED, "an output has too many dimensions");
    }
    shapes.emplace_back(layout.dimensions, layout.dimensions + layout.rank);
  }
  return shapes;
}

std::unique_ptr<Request> Session::create_request() {
  return std::make_unique<Request>(*this);
}

}  // namespace verge::engines::litert
