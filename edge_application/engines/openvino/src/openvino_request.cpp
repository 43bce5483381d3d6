#include "openvino_request.hpp"

#include <chrono>

#include <openvino/runtime/exception.hpp>

namespace verge::engines::openvino {

Request::Request(Compiled& compiled) : compiled_(compiled), shapes_(compiled.description().initial_shapes) {
  for (const auto& shape : shapes_) is_fixed_ = is_fixed_ && !is_variable(shape);
  use(is_fixed_ ? compiled.fixed() : compiled.variable());
}

Request::~Request() {
  try {
    if (!async_.running()) return;
    request_.cancel();
    async_.wait(nullptr);
  } catch (...) {
    // A destructor has nobody to tell; the request's own destructor waits for its run.
  }
}

void Request::use(ov::CompiledModel& model) {
  request_ = model.create_infer_request();
  // Set once: a callback that is made for every run would be memory allocated for every run.
  request_.set_callback([this](const std::exception_ptr& exception) {
    if (exception == nullptr) return async_.end(VERGE_ENGINE_OK, {});
    try {
      std::rethrow_exception(exception);
    } catch (const ov::Cancelled&) {
      async_.end(VERGE_ENGINE_CANCELLED, "the run was cancelled");
    } catch (const std::exception& failure) {
      async_.end(VERGE_ENGINE_FAILED, failure.what());
    } catch (...) {
      async_.end(VERGE_ENGINE_FAILED, "an exception of an unknown type");
    }
  });
  const ReadModel& description = compiled_.description();
  inputs_.resize(description.inputs.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    inputs_[i].allocate(description.inputs[i].datatype, shapes_[i]);
    set_input(i);
  }
  outputs_ = std::vector<HostBuffer>(description.outputs.size());
  output_shapes_.assign(description.outputs.size(), {});
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const ov::PartialShape shape = model.output(i).get_partial_shape();
    if (shape.is_dynamic()) continue;
    outputs_[i].allocate(description.outputs[i].datatype, shape_of(shape));
    set_output(i);
  }
}

void Request::set_input(std::size_t index) {
  const HostBuffer& memory = inputs_[index];
  if (memory.data() == nullptr) return;
  request_.set_input_tensor(index, ov::Tensor(element_type_of(compiled_.description().inputs[index].datatype),
                                              shape_from(memory.shape()), memory.data()));
}

void Request::set_output(std::size_t index) {
  const HostBuffer& memory = outputs_[index];
  request_.set_output_tensor(index, ov::Tensor(element_type_of(compiled_.description().outputs[index].datatype),
                                               shape_from(memory.shape()), memory.data()));
}

void Request::set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
  check_index("input", index, shapes_.size());
  async_.check_idle();
  const TensorDescription& declared = compiled_.description().inputs[index];
  check_shape(declared, shape);
  static_cast<void>(tensor_size_bytes(declared.datatype, shape));
  shapes_[index].assign(shape.begin(), shape.end());
  const bool fixed = shapes_ == compiled_.description().initial_shapes;
  if (fixed != is_fixed_) {
    is_fixed_ = fixed;
    use(fixed ? compiled_.fixed() : compiled_.variable());
    return;
  }
  inputs_[index].allocate(declared.datatype, shape);
  set_input(index);
}

void Request::input(std::uint32_t index, verge_engine_tensor* out) const {
  check_index("input", index, inputs_.size());
  inputs_[index].give(compiled_.description().inputs[index].datatype, out);
}

void Request::output(std::uint32_t index, verge_engine_tensor* out) {
  check_index("output", index, output_shapes_.size());
  async_.check_idle();
  const TensorDescription& declared = compiled_.description().outputs[index];
  if (outputs_[index].data() != nullptr) return outputs_[index].give(declared.datatype, out);
  ov::Tensor tensor = request_.get_output_tensor(index);
  const ov::Shape shape = tensor.get_shape();
  output_shapes_[index].assign(shape.begin(), shape.end());
  give_host_memory(declared.datatype, output_shapes_[index], tensor.data(), tensor.get_byte_size(), out);
}

void Request::bind_input(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("input", index, inputs_.size());
  async_.check_idle();
  const TensorDescription& declared = compiled_.description().inputs[index];
  check_shape_is_set(declared, shapes_[index]);
  check_binding(declared, shapes_[index], tensor);
  inputs_[index].bind(tensor.data);
  set_input(index);
}

void Request::bind_output(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("output", index, outputs_.size());
  async_.check_idle();
  const TensorDescription& declared = compiled_.description().outputs[index];
  if (outputs_[index].data() == nullptr) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "output '" + declared.name + "' has a variable shape: it cannot be bound");
  }
  check_binding(declared, outputs_[index].shape(), tensor);
  outputs_[index].bind(tensor.data);
  set_output(index);
}

void Request::check_ready() const {
  for (std::size_t i = 0; i < shapes_.size(); ++i) check_shape_is_set(compiled_.description().inputs[i], shapes_[i]);
}

void Request::run() {
  async_.check_idle();
  check_ready();
  request_.infer();
}

void Request::start(verge_engine_done done, void* user_data) {
  check_ready();
  async_.begin(done, user_data);
  try {
    request_.start_async();
  } catch (const std::exception& exception) {
    async_.end(VERGE_ENGINE_FAILED, exception.what());
  }
}

verge_engine_status Request::wait(verge_engine_error* error) {
  return async_.wait(error);
}

void Request::profile(verge_engine_each_layer each, void* user_data) const {
  async_.check_idle();
  // Throws when the model was not compiled for it.
  for (const auto& layer : request_.get_profiling_info()) {
    if (layer.status != ov::ProfilingInfo::Status::EXECUTED) continue;
    const verge_engine_layer told{sizeof(verge_engine_layer), layer.node_name.c_str(), layer.node_type.c_str(),
                                  std::chrono::nanoseconds(layer.real_time).count()};
    each(user_data, &told);
  }
}

void Request::cancel() {
  if (async_.running()) request_.cancel();
}

}  // namespace verge::engines::openvino
