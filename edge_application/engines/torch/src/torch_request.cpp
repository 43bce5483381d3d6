#include "torch_request.hpp"

#include <algorithm>
#include <string>

namespace verge::engines::torch_engine {

Request::Request(Session& session)
    : session_(session),
      inputs_(session.inputs().size()),
      input_tensors_(session.inputs().size()),
      outputs_(session.outputs().size()) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    inputs_[i].allocate(session.inputs()[i].datatype, initial_shape(session.inputs()[i]));
    wrap_input(i);
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].allocate(session.outputs()[i].datatype, initial_shape(session.outputs()[i]));
  }
}

Request::~Request() {
  if (background_.running()) background_.wait(nullptr);
}

void Request::wrap_input(std::size_t index) {
  if (inputs_[index].data() == nullptr) return;
  const auto shape = inputs_[index].shape();
  input_tensors_[index] = at::from_blob(inputs_[index].data(), at::IntArrayRef(shape.data(), shape.size()),
                                        scalar_type_of(session_.inputs()[index].datatype));
}

void Request::set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
  check_index("input", index, inputs_.size());
  background_.check_idle();
  check_shape(session_.inputs()[index], shape);
  const auto present = inputs_[index].shape();
  if (std::equal(present.begin(), present.end(), shape.begin(), shape.end())) return;
  inputs_[index].allocate(session_.inputs()[index].datatype, shape);
  wrap_input(index);
}

void Request::input(std::uint32_t index, verge_engine_tensor* out) const {
  check_index("input", index, inputs_.size());
  inputs_[index].give(session_.inputs()[index].datatype, out);
}

void Request::output(std::uint32_t index, verge_engine_tensor* out) const {
  check_index("output", index, outputs_.size());
  background_.check_idle();
  outputs_[index].give(session_.outputs()[index].datatype, out);
}

void Request::bind_input(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("input", index, inputs_.size());
  background_.check_idle();
  check_binding(session_.inputs()[index], inputs_[index].shape(), tensor);
  inputs_[index].bind(tensor.data);
  wrap_input(index);
}

void Request::bind_output(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("output", index, outputs_.size());
  background_.check_idle();
  check_binding(session_.outputs()[index], outputs_[index].shape(), tensor);
  outputs_[index].bind(tensor.data);
}

/// LibTorch makes the outputs' memory anew in every run: they are copied to where the host reads them.
void Request::keep_output(std::size_t index, const at::Tensor& tensor) {
  const TensorDescription& declared = session_.outputs()[index];
  const auto sizes = tensor.sizes();
  if (datatype_of(tensor.scalar_type()) != declared.datatype) {
    throw Failure(VERGE_ENGINE_FAILED, "output '" + declared.name + "' changes its element type from run to run");
  }
  const auto present = outputs_[index].shape();
  if (!std::equal(present.begin(), present.end(), sizes.begin(), sizes.end())) {
    outputs_[index].allocate(declared.datatype, {sizes.data(), sizes.size()});
  }
  at::from_blob(outputs_[index].data(), sizes, tensor.scalar_type()).copy_(tensor);
}

void Request::compute() {
  for (std::size_t i = 0; i < inputs_.size(); ++i) check_shape_is_set(session_.inputs()[i], inputs_[i].shape());
  const c10::InferenceMode no_gradients;
  const NamedTensors results = session_.run(input_tensors_, VERGE_ENGINE_FAILED);
  if (results.size() != outputs_.size()) {
    throw Failure(VERGE_ENGINE_FAILED, "the model gives another number of outputs from run to run");
  }
  for (std::size_t i = 0; i < results.size(); ++i) keep_output(i, results[i].second);
}

void Request::run() {
  background_.check_idle();
  compute();
}

void Request::start(verge_engine_done done, void* user_data) {
  background_.start(done, user_data);
}

verge_engine_status Request::wait(verge_engine_error* error) {
  return background_.wait(error);
}

}  // namespace verge::engines::torch_engine
