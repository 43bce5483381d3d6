#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <string>
#include <utility>

#include "engine_errors.hpp"
#include "session_state.hpp"

namespace verge::processing {

struct Request::State {
  using Shape = std::array<std::int64_t, VERGE_ENGINE_MAX_RANK>;

  std::shared_ptr<Session> session;  // Outlives the request, as the ABI demands.
  const Session::State* model = nullptr;
  verge_engine_request* request = nullptr;
  // Shapes lie in place, so that reading them after a run allocates nothing.
  std::vector<Shape> input_shapes;
  std::vector<Shape> output_shapes;
  std::vector<TensorView> inputs;
  std::vector<TensorView> outputs;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (request != nullptr) model->api->request_destroy(request);
  }

  static void view(const verge_engine_tensor& tensor, Shape& shape, TensorView& out) {
    const std::size_t rank = std::min<std::size_t>(tensor.rank, shape.size());
    std::copy_n(tensor.shape, rank, shape.begin());
    out.datatype = static_cast<DataType>(tensor.datatype);
    out.shape = std::span<const std::int64_t>(shape.data(), rank);
    out.data = static_cast<std::byte*>(tensor.data);
    out.size_bytes = tensor.data == nullptr ? 0 : tensor.size_bytes;
  }

  /// An input whose shape is not set yet has an empty view of the declared shape.
  Result<void> read_inputs() {
    for (std::uint32_t i = 0; i < inputs.size(); ++i) {
      verge_engine_tensor tensor{};
      tensor.struct_size = sizeof(tensor);
      verge_engine_error error{};
      const auto status = model->api->request_input(request, i, &tensor, &error);
      const TensorSpec& spec = model->inputs[i];
      if (status == VERGE_ENGINE_INVALID_ARGUMENT && !element_count(spec.shape)) {
        inputs[i] = TensorView{spec.datatype, spec.shape, nullptr, 0};
      } else if (status != VERGE_ENGINE_OK) {
        return engine_error(status, model->context, error.message);
      } else {
        view(tensor, input_shapes[i], inputs[i]);
      }
    }
    return {};
  }

  using Bind = decltype(verge_engine_api::request_bind_input);
  /// `present`: the tensor as it is, whose type and shape the memory takes over.
  Result<void> bind(Bind function, std::size_t index, const TensorView& present, std::span<std::byte> memory) {
    if (function == nullptr) {
      return engine_error(VERGE_ENGINE_UNSUPPORTED, model->context, "the engine uses its own memory only");
    }
    verge_engine_tensor tensor{};
    tensor.struct_size = sizeof(tensor);
    tensor.datatype = static_cast<verge_engine_datatype>(present.datatype);
    tensor.rank = static_cast<std::uint32_t>(present.shape.size());
    std::ranges::copy(present.shape, tensor.shape);
    tensor.data = memory.data();
    tensor.size_bytes = memory.size();
    verge_engine_error error;
    error.message[0] = '\0';
    const auto status = function(request, static_cast<std::uint32_t>(index), &tensor, &error);
    return status == VERGE_ENGINE_OK ? Result<void>{} : engine_error(status, model->context, error.message);
  }

  Result<void> read_outputs() {
    for (std::uint32_t i = 0; i < outputs.size(); ++i) {
      verge_engine_tensor tensor{};
      tensor.struct_size = sizeof(tensor);
      verge_engine_error error;
      error.message[0] = '\0';
      const auto status = model->api->request_output(request, i, &tensor, &error);
      if (status != VERGE_ENGINE_OK) return engine_error(status, model->context, error.message);
      view(tensor, output_shapes[i], outputs[i]);
    }
    return {};
  }
};

Request::Request(std::unique_ptr<State> state) : state_(std::move(state)) {}
Request::Request(Request&&) noexcept = default;
Request& Request::operator=(Request&&) noexcept = default;
Request::~Request() = default;

const TensorView& Request::input(std::size_t index) const {
  assert(index < state_->inputs.size());
  return state_->inputs[index];
}

const TensorView& Request::output(std::size_t index) const {
  assert(index < state_->outputs.size());
  return state_->outputs[index];
}

std::span<const TensorView> Request::outputs() const {
  return state_->outputs;
}

Result<void> Request::set_input_shape(std::size_t index, std::span<const std::int64_t> shape) {
  const verge_engine_api& api = *state_->model->api;
  if (api.request_set_input_shape == nullptr) {
    return Error(ErrorCode::unimplemented, "VRG-ENG-018",
                 state_->model->context + ": the engine has fixed shapes only: choose another engine for this model");
  }
  verge_engine_error error{};
  const auto status = api.request_set_input_shape(state_->request, static_cast<std::uint32_t>(index), shape.data(),
                                                  static_cast<std::uint32_t>(shape.size()), &error);
  for (auto& output : state_->outputs) output = {};  // Where they lie, and how large they are, may be another now.
  if (status != VERGE_ENGINE_OK) return engine_error(status, state_->model->context, error.message);
  return state_->read_inputs();
}

Result<void> Request::bind_input(std::size_t index, std::span<std::byte> memory) {
  VERGE_TRY(state_->bind(state_->model->api->request_bind_input, index, state_->inputs[index], memory));
  return state_->read_inputs();
}

Result<void> Request::bind_output(std::size_t index, std::span<std::byte> memory) {
  const TensorView& present = state_->outputs[index];
  if (present.data == nullptr) {
    return Error(ErrorCode::failed_precondition, "VRG-ENG-020",
                 state_->model->context + ": outputs can be bound once a run has shown their shape");
  }
  VERGE_TRY(state_->bind(state_->model->api->request_bind_output, index, present, memory));
  state_->outputs[index].data = memory.data();
  return {};
}

Result<void> Request::run() {
  verge_engine_error error;
  error.message[0] = '\0';  // Not the whole kilobyte, in every run.
  const auto status = state_->model->api->request_run(state_->request, &error);
  if (status != VERGE_ENGINE_OK) return engine_error(status, state_->model->context, error.message);
  return state_->read_outputs();
}

Result<std::vector<LayerTime>> Request::profile() const {
  const verge_engine_api& api = *state_->model->api;
  if (api.struct_size < offsetof(verge_engine_api, request_profile) + sizeof(api.request_profile) ||
      api.request_profile == nullptr) {
    return Error(ErrorCode::unimplemented, "VRG-ENG-019",
                 state_->model->context + ": this engine does not tell what its layers take; openvino does");
  }
  std::vector<LayerTime> layers;
  const auto add = [](void* to, const verge_engine_layer* layer) {
    static_cast<std::vector<LayerTime>*>(to)->push_back({layer->name, layer->kind, layer->time_ns});
  };
  verge_engine_error error{};
  const auto status = api.request_profile(state_->request, add, &layers, &error);
  if (status != VERGE_ENGINE_OK) return engine_error(status, state_->model->context, error.message);
  return layers;
}

Result<Request> Session::create_request() {
  auto state = std::make_unique<Request::State>();
  state->session = shared_from_this();
  state->model = state_.get();
  verge_engine_error error{};
  const auto status = state_->api->request_create(state_->session, &state->request, &error);
  if (status != VERGE_ENGINE_OK) return engine_error(status, state_->context, error.message);
  state->inputs.resize(state_->inputs.size());
  state->outputs.resize(state_->outputs.size());
  state->input_shapes.resize(state_->inputs.size());
  state->output_shapes.resize(state_->outputs.size());
  VERGE_TRY(state->read_inputs());
  return Request(std::move(state));
}

}  // namespace verge::processing
