#include "openvino_request.hpp"

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
  request_.set_callback([this](std::exception_ptr exception) {
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
  inputs_.clear();
  for (std::size_t i = 0; i < description.inputs.size(); ++i) {
    ov::Tensor tensor = request_.get_input_tensor(i);
    if (!is_variable(shapes_[i])) tensor.set_shape(shape_from(shapes_[i]));
    inputs_.push_back(tensor);
  }
  output_shapes_.assign(description.outputs.size(), {});
}

void Request::set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
  check_index("input", index, shapes_.size());
  async_.check_idle();
  check_shape(compiled_.description().inputs[index], shape);
  shapes_[index].assign(shape.begin(), shape.end());
  const bool fixed = shapes_ == compiled_.description().initial_shapes;
  if (fixed != is_fixed_) {
    is_fixed_ = fixed;
    use(fixed ? compiled_.fixed() : compiled_.variable());
  }
  // New memory, because the old may be the host's.
  inputs_[index] = ov::Tensor(element_type_of(compiled_.description().inputs[index].datatype), shape_from(shape));
  request_.set_input_tensor(index, inputs_[index]);
}

void Request::input(std::uint32_t index, verge_engine_tensor* out) const {
  check_index("input", index, inputs_.size());
  const TensorDescription& declared = compiled_.description().inputs[index];
  check_shape_is_set(declared, shapes_[index]);
  give_host_memory(declared.datatype, shapes_[index], inputs_[index].data(), inputs_[index].get_byte_size(), out);
}

void Request::output(std::uint32_t index, verge_engine_tensor* out) {
  check_index("output", index, output_shapes_.size());
  async_.check_idle();
  const TensorDescription& declared = compiled_.description().outputs[index];
  const ov::Tensor tensor = request_.get_output_tensor(index);
  const ov::Shape& shape = tensor.get_shape();
  output_shapes_[index].assign(shape.begin(), shape.end());
  give_host_memory(declared.datatype, output_shapes_[index], tensor.data(), tensor.get_byte_size(), out);
}

void Request::bind_input(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("input", index, inputs_.size());
  async_.check_idle();
  const TensorDescription& declared = compiled_.description().inputs[index];
  check_shape_is_set(declared, shapes_[index]);
  check_binding(declared, shapes_[index], tensor);
  inputs_[index] = ov::Tensor(element_type_of(declared.datatype), shape_from(shapes_[index]), tensor.data);
  request_.set_input_tensor(index, inputs_[index]);
}

void Request::bind_output(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("output", index, output_shapes_.size());
  async_.check_idle();
  const TensorDescription& declared = compiled_.description().outputs[index];
  const ov::Shape shape = request_.get_output_tensor(index).get_shape();
  const std::vector<std::int64_t> expected(shape.begin(), shape.end());
  check_binding(declared, expected, tensor);
  request_.set_output_tensor(index, ov::Tensor(element_type_of(declared.datatype), shape, tensor.data));
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

verge_engine_status Request::wait(verge_engine_error* error) { return async_.wait(error); }

void Request::cancel() {
  if (async_.running()) request_.cancel();
}

}  // namespace verge::engines::openvino
