#include "torch_module.hpp"

#include <array>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/mobile/import.h>

namespace verge::engines::torch_engine {
namespace {

constexpr std::array<std::pair<verge_engine_datatype, at::ScalarType>, 10> kTypes{{{VERGE_ENGINE_BOOL, at::kBool},
                                                                                   {VERGE_ENGINE_UINT8, at::kByte},
                                                                                   {VERGE_ENGINE_INT8, at::kChar},
                                                                                   {VERGE_ENGINE_INT16, at::kShort},
                                                                                   {VERGE_ENGINE_INT32, at::kInt},
                                                                                   {VERGE_ENGINE_INT64, at::kLong},
                                                                                   {VERGE_ENGINE_FP16, at::kHalf},
                                                                                   {VERGE_ENGINE_FP32, at::kFloat},
                                                                                   {VERGE_ENGINE_FP64, at::kDouble},
                                                                                   {VERGE_ENGINE_BF16, at::kBFloat16}}};

constexpr std::size_t kOutputLimit = 1024;

/// The first line of LibTorch's text, which goes on with its call stack.
std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

[[noreturn]] void throw_unreadable(std::string_view text) {
  for (const std::string_view mark :
       {"Unknown builtin op", "not found. Check", "Following ops cannot be found", "not supported", "Unsupported"}) {
    if (text.find(mark) == std::string_view::npos) continue;
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "LibTorch cannot build the model: " + first_line(text));
  }
  throw Failure(VERGE_ENGINE_CORRUPT,
                "the file is damaged, or no TorchScript module; get it again. LibTorch: " + first_line(text));
}

bool is_mobile(const std::string& path) {
  return caffe2::serialize::PyTorchStreamReader(path).hasRecord("bytecode.pkl");
}

/// With constants and batch norms folded, where the module allows it.
torch::jit::Module load_script(const std::string& path) {
  torch::jit::Module module = torch::jit::load(path, at::kCPU);
  module.eval();
  try {
    return torch::jit::freeze(module);
  } catch (const c10::Error&) {
    return module;  // It changes its own attributes.
  }
}

void add(NamedTensors& tensors, std::string name, const c10::IValue& value) {
  if (!value.isTensor() || value.toTensor().is_quantized() || tensors.size() == kOutputLimit) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "output '" + name +
                                                "' of the model is no plain tensor; give tensors, a tuple or list of "
                                                "them, or a dictionary of them by name");
  }
  tensors.emplace_back(std::move(name), value.toTensor());
}

NamedTensors named(const c10::IValue& value) {
  NamedTensors tensors;
  const auto number = [&] { return "output" + std::to_string(tensors.size()); };
  if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) add(tensors, number(), element);
  } else if (value.isTensorList() || value.isList()) {
    for (const c10::IValue& element : value.toListRef()) add(tensors, number(), element);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      add(tensors, entry.key().isString() ? entry.key().toStringRef() : number(), entry.value());
    }
  } else {
    add(tensors, number(), value);
  }
  return tensors;
}

}  // namespace

verge_engine_datatype datatype_of(at::ScalarType type) {
  for (const auto& [datatype, scalar] : kTypes) {
    if (scalar == type) return datatype;
  }
  throw Failure(VERGE_ENGINE_UNSUPPORTED,
                std::string("an output has the element type ") + c10::toString(type) + ", which Verge does not handle");
}

at::ScalarType scalar_type_of(verge_engine_datatype type) {
  for (const auto& [datatype, scalar] : kTypes) {
    if (datatype == type) return scalar;
  }
  throw Failure(VERGE_ENGINE_UNSUPPORTED, "LibTorch has no unsigned integers of more than 8 bits");
}

Module::Module(const std::string& path) {
  try {
    if (is_mobile(path)) {
      module_ = torch::jit::_load_for_mobile(path, at::kCPU);
    } else {
      module_ = load_script(path);
    }
  } catch (const Failure&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const c10::Error& error) {
    throw_unreadable(error.what_without_backtrace());
  } catch (const std::exception& exception) {
    throw_unreadable(exception.what());
  }
}

NamedTensors Module::run(const std::vector<at::Tensor>& inputs) {
  std::vector<c10::IValue> values(inputs.begin(), inputs.end());
  return named(std::visit([&](auto& module) { return module.forward(std::move(values)); }, module_));
}

}  // namespace verge::engines::torch_engine
