// Engine "openvino": ONNX, TensorFlow, TensorFlow Lite, OpenVINO IR and Paddle models on Intel and Arm CPUs.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <malloc.h>

#include <openvino/core/version.hpp>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>

#include "openvino_cache.hpp"
#include "openvino_model.hpp"
#include "openvino_request.hpp"
#include "verge/engines/adapter.hpp"

namespace verge::engines::openvino {
namespace {

constexpr const char* kFormats = "onnx,tensorflow,tflite,openvino,paddle";

ov::AnyMap properties_of(const verge_engine_load& load) {
  const std::uint32_t requests = std::max(1U, load.max_requests);
  ov::AnyMap properties{ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                        ov::num_streams(ov::streams::Num(static_cast<std::int32_t>(requests))),
                        // The device runs more than one model; which core is free is the kernel's business.
                        ov::hint::enable_cpu_pinning(false)};
  // OpenVINO's number is for all streams together.
  if (load.threads > 0) {
    properties.insert(ov::inference_num_threads(static_cast<std::int32_t>(load.threads * requests)));
  }
  switch (load.precision) {
    case VERGE_ENGINE_PRECISION_F32: properties.insert(ov::hint::inference_precision(ov::element::f32)); break;
    case VERGE_ENGINE_PRECISION_BF16: properties.insert(ov::hint::inference_precision(ov::element::bf16)); break;
    case VERGE_ENGINE_PRECISION_F16: properties.insert(ov::hint::inference_precision(ov::element::f16)); break;
    case VERGE_ENGINE_PRECISION_AUTO: break;
    default: throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "unknown precision");
  }
  if (load.profile != 0) properties.insert(ov::enable_profiling(true));
  if (load.cache_directory != nullptr && load.cache_directory[0] != '\0') {
    properties.insert(ov::cache_dir(std::string(load.cache_directory)));
  }
  return properties;
}

class Session final : public Compiled {
 public:
  static std::unique_ptr<Session> create(const verge_engine_load& load) {
    check_format(load, "openvino", kFormats);
    check_options(load, "openvino", {});
    if (load.delegate != nullptr && load.delegate[0] != '\0') {
      throw Failure(VERGE_ENGINE_UNSUPPORTED,
                    "engine 'openvino' has no delegates, got '" + std::string(load.delegate) + "': leave it out");
    }
    return std::make_unique<Session>(load);
  }

  explicit Session(const verge_engine_load& load)
      : device_(load.device == nullptr || load.device[0] == '\0' ? "CPU" : load.device),
        properties_(properties_of(load)) {
    check_device();
    const auto entry = cache_entry(load, properties_);
    if (entry && (fixed_ = restore(core_, *entry, device_, load, description_))) return;
    if (entry) properties_.erase(ov::cache_dir.name());  // One copy is enough.
    description_ = read_model(core_, load.model_path, load.format);
    bool shapes_known = true;
    bool shapes_may_change = false;
    for (const auto& shape : description_.initial_shapes) shapes_known = shapes_known && !is_variable(shape);
    for (const auto& input : description_.inputs) shapes_may_change = shapes_may_change || is_variable(input.shape);
    // Here and not at the first request, so that what cannot be compiled is refused when it is loaded.
    static_cast<void>(shapes_known ? fixed() : variable());
    // What was read holds the weights a second time.
    if (shapes_known && !shapes_may_change) {
      description_.model.reset();
      if (entry) keep(*fixed_, *entry);
    }
#if defined(__GLIBC__)
    ::malloc_trim(0);  // Reading and compiling leave tens of megabytes of freed memory behind.
#endif
  }

  [[nodiscard]] const std::vector<TensorDescription>& inputs() const {
    return description_.inputs;
  }
  [[nodiscard]] const std::vector<TensorDescription>& outputs() const {
    return description_.outputs;
  }
  std::unique_ptr<Request> create_request() {
    return std::make_unique<Request>(*this);
  }

  ov::CompiledModel& fixed() override {
    const std::lock_guard lock(mutex_);
    if (!fixed_) fixed_ = compile(with_fixed_shapes());
    return *fixed_;
  }

  ov::CompiledModel& variable() override {
    const std::lock_guard lock(mutex_);
    if (!variable_) variable_ = compile(description_.model);
    return *variable_;
  }

  [[nodiscard]] const ReadModel& description() const override {
    return description_;
  }

 private:
  void check_device() {
    if (device_ == "CPU") return;  // Asking for the others loads their plug-ins, tens of megabytes each.
    const std::vector<std::string> devices = core_.get_available_devices();
    const std::string base = device_.substr(0, device_.find('.'));
    std::string list;
    for (const std::string& device : devices) {
      if (device == device_ || device.substr(0, device.find('.')) == base) return;
      list += (list.empty() ? "" : ", ") + device;
    }
    throw Failure(VERGE_ENGINE_UNAVAILABLE, "device '" + device_ + "' is not there; OpenVINO finds: " + list);
  }

  std::shared_ptr<ov::Model> with_fixed_shapes() {
    if (!description_.model->is_dynamic()) return description_.model;
    std::map<std::size_t, ov::PartialShape> shapes;
    for (std::size_t i = 0; i < description_.inputs.size(); ++i) shapes[i] = shape_from(description_.initial_shapes[i]);
    try {
      std::shared_ptr<ov::Model> model = description_.model->clone();
      model->reshape(shapes);
      return model;
    } catch (const ov::Exception&) {
      return description_.model;  // It insists on variable shapes inside; it runs, slower.
    }
  }

  ov::CompiledModel compile(const std::shared_ptr<ov::Model>& model) {
    try {
      return core_.compile_model(model, device_, properties_);
    } catch (const std::exception& exception) {
      throw Failure(VERGE_ENGINE_UNSUPPORTED, std::string("OpenVINO cannot compile the model: ") + exception.what());
    }
  }

  std::string device_;
  ov::AnyMap properties_;
  ov::Core core_;
  ReadModel description_;
  std::mutex mutex_;
  std::optional<ov::CompiledModel> fixed_;
  std::optional<ov::CompiledModel> variable_;
};

/// "2026.4.1" of "2026.4.1-21957-…".
std::string version() {
  const std::string text = ov::get_openvino_version().buildNumber;
  return text.substr(0, text.find('-'));
}

}  // namespace
}  // namespace verge::engines::openvino

extern "C" const verge_engine_api* verge_engine_entry(std::uint32_t host_abi_major) {
  namespace openvino = verge::engines::openvino;
  using Adapter = verge::engines::Adapter<openvino::Session, openvino::Request>;
  static const std::string version = openvino::version();
  static const verge_engine_api api = Adapter::api("openvino", version.c_str(), openvino::kFormats);
  return host_abi_major == VERGE_ENGINE_ABI_MAJOR ? &api : nullptr;
}
