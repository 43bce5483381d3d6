#include "litert_request.hpp"

#include <string>
#include <utility>

namespace verge::engines::litert {
namespace {

/// TensorFlow Lite's TfLiteType.
std::int32_t element_type(verge_engine_datatype datatype) {
  switch (datatype) {
    case VERGE_ENGINE_FP32: return 1;
    case VERGE_ENGINE_INT32: return 2;
    case VERGE_ENGINE_UINT8: return 3;
    case VERGE_ENGINE_INT64: return 4;
    case VERGE_ENGINE_BOOL: return 6;
    case VERGE_ENGINE_INT16: return 7;
    case VERGE_ENGINE_INT8: return 9;
    case VERGE_ENGINE_FP16: return 10;
    case VERGE_ENGINE_FP64: return 11;
    case VERGE_ENGINE_UINT64: return 13;
    case VERGE_ENGINE_UINT32: return 16;
    case VERGE_ENGINE_UINT16: return 17;
    case VERGE_ENGINE_BF16: return 19;
    default: throw Failure(VERGE_ENGINE_UNSUPPORTED, "LiteRT does not know this element type");
  }
}

}  // namespace

void Request::Side::resize(std::size_t count) {
  memory.resize(count);
  owned.resize(count);
  handles.resize(count);
}

void Request::Side::wrap(std::size_t index, verge_engine_datatype type) {
  const HostBuffer& buffer = memory[index];
  RankedTensorType tensor_type{};
  tensor_type.element_type = element_type(type);
  tensor_type.layout.rank = static_cast<unsigned>(buffer.shape().size()) & 0x7FU;
  for (std::size_t i = 0; i < buffer.shape().size(); ++i) {
    tensor_type.layout.dimensions[i] = static_cast<std::int32_t>(buffer.shape()[i]);
  }
  TensorBuffer handle = nullptr;
  check(
      functions().CreateTensorBufferFromHostMemory(&tensor_type, buffer.data(), buffer.size_bytes(), nullptr, &handle),
      "making a tensor");
  owned[index].reset(handle);
  handles[index] = handle;
}

void Request::Side::allocate(std::size_t index, verge_engine_datatype type, std::span<const std::int64_t> shape) {
  memory[index].allocate(type, shape);
  wrap(index, type);
}

void Request::Side::bind(std::size_t index, const TensorDescription& tensor, const verge_engine_tensor& given) {
  check_binding(tensor, memory[index].shape(), given);
  if (reinterpret_cast<std::uintptr_t>(given.data) % kHostMemoryAlignment != 0) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "memory for tensor '" + tensor.name +
                                                     "' must begin at a multiple of 64 bytes in the engine 'litert'");
  }
  memory[index].bind(given.data);
  wrap(index, tensor.datatype);
}

Request::Request(Session& session) : session_(session), instance_(session.take()) {
  inputs_.resize(session.inputs().size());
  outputs_.resize(session.outputs().size());
  for (std::size_t i = 0; i < session.inputs().size(); ++i) {
    inputs_.allocate(i, session.inputs()[i].datatype, session.initial_shape(i));
  }
  allocate_outputs();
}

Request::~Request() {
  cancel();
  if (background_.running()) background_.wait(nullptr);
  session_.give_back(std::move(instance_));
}

void Request::allocate_outputs() {
  const auto shapes = session_.output_shapes(*instance_);
  for (std::size_t i = 0; i < shapes.size(); ++i) outputs_.allocate(i, session_.outputs()[i].datatype, shapes[i]);
}

void Request::resize(std::uint32_t index, std::span<const std::int64_t> shape) {
  std::vector<int> dimensions;
  for (const std::int64_t dimension : shape) {
    if (dimension > std::numeric_limits<int>::max()) {
      throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a dimension of " + shape_text(shape) + " is too large");
    }
    dimensions.push_back(static_cast<int>(dimension));
  }
  instance_->is_resized = true;
  const int status = functions().CompiledModelResizeInputTensor(instance_->compiled.get(), 0, index, dimensions.data(),
                                                                dimensions.size());
  if (status != kStatusOk) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "LiteRT refuses the shape " + shape_text(shape) + " for input '" +
                                                     session_.inputs()[index].name + "': " + status_text(status));
  }
}

void Request::set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
  check_index("input", index, inputs_.memory.size());
  background_.check_idle();
  check_shape(session_.inputs()[index], shape);
  static_cast<void>(tensor_size_bytes(session_.inputs()[index].datatype, shape));
  const std::span<const std::int64_t> present = inputs_.memory[index].shape();
  const std::vector<std::int64_t> before(present.begin(), present.end());
  if (std::equal(before.begin(), before.end(), shape.begin(), shape.end())) return;
  try {
    resize(index, shape);
    allocate_outputs();
  } catch (const Failure&) {
    resize(index, before);
    allocate_outputs();
    throw;
  }
  inputs_.allocate(index, session_.inputs()[index].datatype, shape);
}

void Request::input(std::uint32_t index, verge_engine_tensor* out) const {
  check_index("input", index, inputs_.memory.size());
  inputs_.memory[index].give(session_.inputs()[index].datatype, out);
}

void Request::output(std::uint32_t index, verge_engine_tensor* out) const {
  check_index("output", index, outputs_.memory.size());
  background_.check_idle();
  outputs_.memory[index].give(session_.outputs()[index].datatype, out);
}

void Request::bind_input(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("input", index, inputs_.memory.size());
  background_.check_idle();
  inputs_.bind(index, session_.inputs()[index], tensor);
}

void Request::bind_output(std::uint32_t index, const verge_engine_tensor& tensor) {
  check_index("output", index, outputs_.memory.size());
  background_.check_idle();
  outputs_.bind(index, session_.outputs()[index], tensor);
}

void Request::compute() {
  const int status =
      functions().RunCompiledModel(instance_->compiled.get(), 0, inputs_.handles.size(), inputs_.handles.data(),
                                   outputs_.handles.size(), outputs_.handles.data());
  const bool was_cancelled = instance_->is_cancelled.exchange(false);
  if (status == kStatusCancelled || (status != kStatusOk && was_cancelled)) {
    throw Failure(VERGE_ENGINE_CANCELLED, "the run was cancelled");
  }
  check(status, "running the model");
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

// Looked at between operators: a graph that XNNPACK took as a whole ends normally.
void Request::cancel() {
  if (background_.running()) instance_->is_cancelled = true;
}

}  // namespace verge::engines::litert
