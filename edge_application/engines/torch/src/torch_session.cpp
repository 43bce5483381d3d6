#include "torch_session.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <ATen/Parallel.h>

#include "torch_request.hpp"
#include "verge/engines/declared_tensors.hpp"

namespace verge::engines::torch_engine {
namespace {

std::string checked_path(const verge_engine_load& load) {
  std::error_code failed;
  if (!std::filesystem::is_regular_file(load.model_path, failed)) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "there is no readable model file");
  }
  return load.model_path;
}

/// Of this thread, which otherwise has as many as there are processors.
void use_threads(int count) {
  if (at::get_num_threads() != count) at::set_num_threads(count);
}

/// LibTorch's threads spin while they wait for each other, which ruins both where the processors are busy: more than
/// one must be asked for.
int thread_count(const verge_engine_load& load) {
  return static_cast<int>(std::max(1U, load.threads));
}

}  // namespace

std::unique_ptr<Session> Session::create(const verge_engine_load& load) {
  check_format(load, "torch", kFormats);
  check_device_is_cpu(load, "torch");
  check_options(load, "torch", {"inputs"});
  if (load.delegate != nullptr && load.delegate[0] != '\0') {
    throw Failure(VERGE_ENGINE_UNSUPPORTED,
                  "engine 'torch' has no delegates, got '" + std::string(load.delegate) + "': leave it out");
  }
  return std::make_unique<Session>(load);
}

Session::Session(const verge_engine_load& load)
    : module_(checked_path(load)), threads_(thread_count(load)), inputs_(declared_tensors(option(load, "inputs"))) {
  if (inputs_.empty()) {
    throw Failure(
        VERGE_ENGINE_INVALID_ARGUMENT,
        "a TorchScript file does not say what it takes: declare its inputs, in metadata.json or by the option "
        "'inputs', for example 'x FP32 [1,3,224,224]'");
  }
  for (const TensorDescription& input : inputs_) static_cast<void>(scalar_type_of(input.datatype));
  find_outputs();
}

NamedTensors Session::run_on_zeros(std::int64_t batch) {
  std::vector<at::Tensor> zeros;
  for (const TensorDescription& input : inputs_) {
    std::vector<std::int64_t> shape = input.shape;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] < 0) shape[i] = i == 0 ? batch : 1;
    }
    static_cast<void>(tensor_size_bytes(input.datatype, shape));
    zeros.push_back(at::zeros(shape, scalar_type_of(input.datatype)));
  }
  return run(zeros, VERGE_ENGINE_INVALID_ARGUMENT);
}

/// The file does not say what comes out either: a run on zeros tells, and where the first dimension of an input is
/// variable a second one with two samples tells which sizes follow it.
void Session::find_outputs() {
  bool is_variable_batch = false;
  for (const TensorDescription& input : inputs_) {
    is_variable_batch = is_variable_batch || (!input.shape.empty() && input.shape.front() < 0);
  }
  const NamedTensors once = run_on_zeros(1);
  const NamedTensors twice = is_variable_batch ? run_on_zeros(2) : once;
  if (once.empty() || once.size() != twice.size()) throw Failure(VERGE_ENGINE_UNSUPPORTED, "the model has no output");
  for (std::size_t i = 0; i < once.size(); ++i) {
    const auto& [name, tensor] = once[i];
    TensorDescription output;
    output.name = name;
    output.datatype = datatype_of(tensor.scalar_type());
    output.shape.assign(tensor.sizes().begin(), tensor.sizes().end());
    const auto other = twice[i].second.sizes();
    for (std::size_t j = 0; j < std::min(output.shape.size(), other.size()); ++j) {
      if (output.shape[j] != other[j]) output.shape[j] = -1;
    }
    outputs_.push_back(std::move(output));
  }
}

NamedTensors Session::run(const std::vector<at::Tensor>& inputs, verge_engine_status refusal) {
  const c10::InferenceMode no_gradients;
  use_threads(threads_);
  try {
    return module_.run(inputs);
  } catch (const Failure&) {
    throw;
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    throw Failure(refusal, "the model refuses these inputs: " + text.substr(0, text.find('\n')));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& exception) {
    throw Failure(refusal, std::string("the model's code failed: ") + exception.what());
  }
}

std::unique_ptr<Request> Session::create_request() {
  return std::make_unique<Request>(*this);
}

}  // namespace verge::engines::torch_engine
