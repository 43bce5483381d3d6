// Engine "fake": deterministic, without a vendor's library. For tests, and to show what happens when a model fails.
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "fake_model.hpp"
#include "verge/engines/adapter.hpp"
#include "verge/engines/background_run.hpp"
#include "verge/engines/host_buffer.hpp"

namespace verge::engines::fake {
namespace {

constexpr const char* kFormats = "fake";

template <typename T, typename Use>
void each(const HostBuffer& buffer, Use use) {
  T* elements = reinterpret_cast<T*>(buffer.data());
  for (std::size_t i = 0; i < buffer.size_bytes() / sizeof(T); ++i) use(elements[i]);
}

/// Calls `use` with every element, in the tensor's own type.
template <typename Use>
void each_element(verge_engine_datatype type, const HostBuffer& buffer, Use use) {
  switch (type) {
    case VERGE_ENGINE_BOOL:
    case VERGE_ENGINE_UINT8: return each<std::uint8_t>(buffer, use);
    case VERGE_ENGINE_INT8: return each<std::int8_t>(buffer, use);
    case VERGE_ENGINE_UINT16: return each<std::uint16_t>(buffer, use);
    case VERGE_ENGINE_INT16: return each<std::int16_t>(buffer, use);
    case VERGE_ENGINE_UINT32: return each<std::uint32_t>(buffer, use);
    case VERGE_ENGINE_INT32: return each<std::int32_t>(buffer, use);
    case VERGE_ENGINE_UINT64: return each<std::uint64_t>(buffer, use);
    case VERGE_ENGINE_INT64: return each<std::int64_t>(buffer, use);
    case VERGE_ENGINE_FP32: return each<float>(buffer, use);
    case VERGE_ENGINE_FP64: return each<double>(buffer, use);
    default: throw Failure(VERGE_ENGINE_UNSUPPORTED, "the engine 'fake' cannot compute with this element type");
  }
}

template <typename T>
T clamped(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    using Limits = std::numeric_limits<T>;
    if (!(value > static_cast<double>(Limits::min()))) return Limits::min();
    if (value >= static_cast<double>(Limits::max())) return Limits::max();
    return static_cast<T>(std::llround(value));
  }
}

class Request {
 public:
  Request(const Model& model, std::atomic<std::int64_t>& runs)
      : model_(model), runs_(runs), inputs_(model.inputs.size()), outputs_(model.outputs.size()) {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      inputs_[i].allocate(model.inputs[i].datatype, initial_shape(model.inputs[i]));
    }
    shape_outputs();
  }

  void set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
    check_index("input", index, inputs_.size());
    background_.check_idle();
    check_shape(model_.inputs[index], shape);
    inputs_[index].allocate(model_.inputs[index].datatype, shape);
    shape_outputs();
  }
  void input(std::uint32_t index, verge_engine_tensor* out) const {
    check_index("input", index, inputs_.size());
    inputs_[index].give(model_.inputs[index].datatype, out);
  }
  void output(std::uint32_t index, verge_engine_tensor* out) const {
    check_index("output", index, outputs_.size());
    outputs_[index].give(model_.outputs[index].datatype, out);
  }
  void bind_input(std::uint32_t index, const verge_engine_tensor& tensor) {
    check_index("input", index, inputs_.size());
    check_binding(model_.inputs[index], inputs_[index].shape(), tensor);
    inputs_[index].bind(tensor.data);
  }
  void bind_output(std::uint32_t index, const verge_engine_tensor& tensor) {
    check_index("output", index, outputs_.size());
    check_binding(model_.outputs[index], outputs_[index].shape(), tensor);
    outputs_[index].bind(tensor.data);
  }

  void run() {
    background_.check_idle();
    compute();
  }
  void start(verge_engine_done done, void* user_data) { background_.start(done, user_data); }
  verge_engine_status wait(verge_engine_error* error) { return background_.wait(error); }
  void cancel() {
    if (!background_.running()) return;
    {
      const std::lock_guard lock(mutex_);
      cancelled_ = true;
    }
    wake_.notify_all();
  }

 private:
  void shape_outputs() {
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      std::vector<std::int64_t> shape = model_.outputs[i].shape;
      for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (shape[axis] >= 0) continue;
        shape[axis] = !inputs_.empty() && axis < inputs_[0].shape().size() ? inputs_[0].shape()[axis] : 1;
      }
      outputs_[i].allocate(model_.outputs[i].datatype, shape);
    }
  }

  void compute() {
    for (std::size_t i = 0; i < inputs_.size(); ++i) check_shape_is_set(model_.inputs[i], inputs_[i].shape());
    sleep();
    const std::int64_t run_number = ++runs_;
    if (model_.function == Function::fail) throw Failure(VERGE_ENGINE_FAILED, model_.message);
    if (model_.function == Function::fail_after && static_cast<double>(run_number) > model_.number) {
      throw Failure(VERGE_ENGINE_FAILED, "this model fails by design from run " + std::to_string(run_number) + " on");
    }
    if (model_.function == Function::crash_after && static_cast<double>(run_number) > model_.number) std::abort();
    if (model_.function == Function::leak) leak();
    if (model_.function == Function::sum || model_.function == Function::constant) {
      fill(model_.function == Function::sum ? sum() : model_.number);
    } else {
      copy();
    }
  }

  /// Reachable, so that a leak checker finds nothing: only the one who watches the process does.
  void leak() {
    constexpr std::size_t kMebibyte = std::size_t{1} << 20U;
    leaked_.emplace_back(static_cast<std::size_t>(model_.number) * kMebibyte, 'x');
  }

  void sleep() {
    std::unique_lock lock(mutex_);
    const auto cancelled = [this] { return cancelled_; };
    // Waiting for no time would still take as long as the kernel's timers are coarse.
    const bool stopped =
        model_.delay_ms > 0 ? wake_.wait_for(lock, std::chrono::milliseconds(model_.delay_ms), cancelled) : cancelled_;
    cancelled_ = false;
    if (stopped) throw Failure(VERGE_ENGINE_CANCELLED, "the run was cancelled");
  }

  [[nodiscard]] double sum() const {
    double total = 0.0;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      each_element(model_.inputs[i].datatype, inputs_[i],
                   [&total](auto element) { total += static_cast<double>(element); });
    }
    return total;
  }
  void fill(double value) {
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      each_element(model_.outputs[i].datatype, outputs_[i],
                   [value]<typename T>(T& element) { element = clamped<T>(value); });
    }
  }
  void copy() {
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const HostBuffer& out = outputs_[i];
      const std::size_t copied = i < inputs_.size() ? std::min(out.size_bytes(), inputs_[i].size_bytes()) : 0;
      if (copied > 0) std::memcpy(out.data(), inputs_[i].data(), copied);
      std::memset(out.data() + copied, 0, out.size_bytes() - copied);
    }
  }

  struct Run {
    Request* request;
    void operator()() const { request->compute(); }
  };

  const Model& model_;
  std::vector<std::string> leaked_;
  std::atomic<std::int64_t>& runs_;
  std::vector<HostBuffer> inputs_;
  std::vector<HostBuffer> outputs_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;
  BackgroundRun<Run> background_{Run{this}};  // Last: it ends before what it uses.
};

class Session {
 public:
  static std::unique_ptr<Session> create(const verge_engine_load& load) {
    check_format(load, "fake", kFormats);
    check_device_is_cpu(load, "fake");
    check_options(load, "fake", {"delay_ms"});
    auto session = std::make_unique<Session>();
    session->model_ = read_model(load.model_path);
    if (const std::string_view text = option(load, "delay_ms"); !text.empty()) {
      const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), session->model_.delay_ms);
      if (error != std::errc{} || stop != text.data() + text.size()) {
        throw Failure(VERGE_ENGINE_INVALID_ARGUMENT,
                      "option 'delay_ms' needs a number, got '" + std::string(text) + "'");
      }
    }
    return session;
  }
  [[nodiscard]] std::span<const TensorDescription> inputs() const { return model_.inputs; }
  [[nodiscard]] std::span<const TensorDescription> outputs() const { return model_.outputs; }
  std::unique_ptr<Request> create_request() { return std::make_unique<Request>(model_, runs_); }

 private:
  Model model_;
  std::atomic<std::int64_t> runs_{0};
};

}  // namespace
}  // namespace verge::engines::fake

extern "C" const verge_engine_api* verge_engine_entry(std::uint32_t host_abi_major) {
  using verge::engines::fake::Request;
  using verge::engines::fake::Session;
  static constexpr verge_engine_api kApi =
      verge::engines::Adapter<Session, Request>::api("fake", "1.0.0", verge::engines::fake::kFormats);
  return host_abi_major == VERGE_ENGINE_ABI_MAJOR ? &kApi : nullptr;
}
