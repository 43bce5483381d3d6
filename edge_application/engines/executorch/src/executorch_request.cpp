#include "executorch_request.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include <executorch/extension/threadpool/threadpool_guard.h>

#include "executorch_platform.hpp"

namespace verge::engines::executorch {

Request::Request(Session& session)
    : session_(session),
      instance_(session.take()),
      inputs_(session.inputs().size()),
      outputs_(session.outputs().size()) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    inputs_[i].allocate(session.inputs()[i].datatype, session.inputs()[i].shape);
    give_input(i);
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].allocate(session.outputs()[i].datatype, session.outputs()[i].shape);
    output_shapes_.push_back(session.outputs()[i].shape);
    give_output(i);
  }
}

Request::~Request() {
  if (background_.running()) background_.wait(nullptr);
  session_.give_back(std::move(instance_));
}

/// Copies a planned input into the program's memory; of another the program keeps the address.
void Request::give_input(std::size_t index) {
  const Tensor& tensor = session_.input_tensors()[index];
  // ExecuTorch only reads sizes, order and strides here.
  auto sizes = const_cast<::executorch::aten::SizesType*>(tensor.sizes.data());
  auto order = const_cast<::executorch::aten::DimOrderType*>(tensor.dim_order.data());
  auto strides = const_cast<::executorch::aten::StridesType*>(tensor.strides.data());
  ::executorch::aten::TensorImpl content(tensor.type, static_cast<ssize_t>(tensor.sizes.size()), sizes,
                                         inputs_[index].data(), order, strides);
  const ::executorch::runtime::EValue value{::executorch::aten::Tensor(&content)};
  check(instance_->method->set_input(value, index), "setting an input", Stage::run);
}

void Request::give_output(std::size_t index) {
  if (session_.output_tensors()[index].is_planned) return;
  HostBuffer& memory = outputs_[index];
  check(instance_->method->set_output_data_ptr(memory.data(), memory.size_bytes(), index), "setting an output",
        Stage::run);
}

void Request::set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
  check_index("input", index, inputs_.size());
  background_.check_idle();
  check_shape(session_.inputs()[index], shape);
}

void Request::input(std::uint32_t index, verge_engine_tensor* out) const {
  check_index("input", index, inputs_.size());
  inputs_[index].give(session_.inputs()[index].datatype, out);
}

void Request::output(std::uint32_t index, verge_engine_tensor* out) {
  check_index("output", index, outputs_.size());
  background_.check_idle();
  const verge_engine_datatype type = session_.outputs()[index].datatype;
  give_host_memory(type, output_shapes_[index], outputs_[index].data(), tensor_size_bytes(type, output_shapes_[index]),
                   out);
}

void Request::bind_input(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("input", index, inputs_.size());
  background_.check_idle();
  check_binding(session_.inputs()[index], inputs_[index].shape(), tensor);
  inputs_[index].bind(tensor.data);
  give_input(index);
}

void Request::bind_output(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("output", index, outputs_.size());
  background_.check_idle();
  check_binding(session_.outputs()[index], outputs_[index].shape(), tensor);
  outputs_[index].bind(tensor.data);
  give_output(index);
}

/// The shape that this run gave, which may be smaller than the declared one, and the content where it lies elsewhere.
void Request::fetch_output(std::size_t index) {
  const ::executorch::runtime::EValue& value = instance_->method->get_output(index);
  if (!value.isTensor()) throw Failure(VERGE_ENGINE_FAILED, "an output is no tensor any more");
  const auto& tensor = value.toTensor();
  const Tensor& declared = session_.output_tensors()[index];
  if (static_cast<std::size_t>(tensor.dim()) != declared.sizes.size() ||
      tensor.nbytes() > outputs_[index].size_bytes()) {
    throw Failure(VERGE_ENGINE_FAILED, "output '" + declared.description.name + "' is larger than the program says");
  }
  for (std::size_t i = 0; i < declared.dim_order.size(); ++i) {
    output_shapes_[index][i] = tensor.size(declared.dim_order[i]);
  }
  if (tensor.const_data_ptr() == nullptr) throw Failure(VERGE_ENGINE_FAILED, "an output has no content");
  if (tensor.const_data_ptr() != outputs_[index].data()) {
    std::memcpy(outputs_[index].data(), tensor.const_data_ptr(), tensor.nbytes());
  }
}

void Request::compute() {
  // Operators outside XNNPACK run in this thread; else they would take all processors by a pool of the library's own.
  const ::executorch::extension::threadpool::NoThreadPoolGuard guard;
  forget_complaints();
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (session_.input_tensors()[i].is_planned) give_input(i);
  }
  check(instance_->method->execute(), "running the program", Stage::run);
  for (std::size_t i = 0; i < outputs_.size(); ++i) fetch_output(i);
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

}  // namespace verge::engines::executorch
