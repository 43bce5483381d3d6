#include "executorch_model.hpp"

#include <algorithm>

#include <executorch/runtime/backend/interface.h>

#include "executorch_platform.hpp"

namespace verge::engines::executorch {
namespace {

using ::executorch::aten::ScalarType;
using ::executorch::runtime::MethodMeta;
using ::executorch::runtime::Tag;
using ::executorch::runtime::TensorInfo;

constexpr std::size_t kTensorLimit = 1024;

verge_engine_datatype datatype_of(ScalarType type, const std::string& name) {
  switch (type) {
    case ScalarType::Bool: return VERGE_ENGINE_BOOL;
    case ScalarType::Byte: return VERGE_ENGINE_UINT8;
    case ScalarType::UInt16: return VERGE_ENGINE_UINT16;
    case ScalarType::UInt32: return VERGE_ENGINE_UINT32;
    case ScalarType::UInt64: return VERGE_ENGINE_UINT64;
    case ScalarType::Char: return VERGE_ENGINE_INT8;
    case ScalarType::Short: return VERGE_ENGINE_INT16;
    case ScalarType::Int: return VERGE_ENGINE_INT32;
    case ScalarType::Long: return VERGE_ENGINE_INT64;
    case ScalarType::Half: return VERGE_ENGINE_FP16;
    case ScalarType::Float: return VERGE_ENGINE_FP32;
    case ScalarType::Double: return VERGE_ENGINE_FP64;
    case ScalarType::BFloat16: return VERGE_ENGINE_BF16;
    default:
      throw Failure(VERGE_ENGINE_UNSUPPORTED,
                    "tensor '" + name + "' has an element type (complex or quantised) that Verge does not handle");
  }
}

[[noreturn]] void throw_order(const std::string& name) {
  throw Failure(VERGE_ENGINE_CORRUPT,
                "the file is damaged: the dimensions of '" + name + "' have no order; get it again");
}

/// Shape of the memory: the sizes in the order in which they lie there.
std::vector<std::int64_t> shape_in_memory(const Tensor& tensor) {
  if (tensor.dim_order.size() != tensor.sizes.size()) throw_order(tensor.description.name);
  std::vector<bool> seen(tensor.sizes.size(), false);
  std::vector<std::int64_t> shape;
  for (const auto dimension : tensor.dim_order) {
    if (dimension >= tensor.sizes.size() || seen[dimension]) throw_order(tensor.description.name);
    seen[dimension] = true;
    shape.push_back(tensor.sizes[dimension]);
  }
  return shape;
}

std::vector<::executorch::aten::StridesType> strides_of(const Tensor& tensor) {
  std::vector<::executorch::aten::StridesType> strides(tensor.sizes.size());
  std::int64_t stride = 1;
  for (std::size_t i = tensor.dim_order.size(); i-- > 0;) {
    strides[tensor.dim_order[i]] = static_cast<::executorch::aten::StridesType>(stride);
    stride *= std::max<std::int64_t>(1, tensor.sizes[tensor.dim_order[i]]);
  }
  return strides;
}

Tensor read_tensor(const TensorInfo& info, std::string name) {
  Tensor tensor;
  tensor.description.name = info.name().empty() ? std::move(name) : std::string(info.name());
  tensor.type = info.scalar_type();
  tensor.description.datatype = datatype_of(tensor.type, tensor.description.name);
  tensor.sizes.assign(info.sizes().begin(), info.sizes().end());
  tensor.dim_order.assign(info.dim_order().begin(), info.dim_order().end());
  tensor.is_planned = info.is_memory_planned();
  tensor.description.shape = shape_in_memory(tensor);
  try {
    static_cast<void>(tensor_size_bytes(tensor.description.datatype, tensor.description.shape));
  } catch (const Failure& failure) {
    throw Failure(VERGE_ENGINE_CORRUPT, std::string("the file is damaged: ") + failure.what() + "; get it again");
  }
  tensor.strides = strides_of(tensor);
  return tensor;
}

template <typename TagOf, typename InfoOf>
std::vector<Tensor> read_side(const std::string& side, std::size_t count, TagOf tag_of, InfoOf info_of) {
  if (count > kTensorLimit) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "the program has more than 1024 " + side + "s");
  }
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = side + std::to_string(i);
    const auto tag = tag_of(i);
    check(tag.error(), "reading an input or output", Stage::load);
    if (*tag != Tag::Tensor) {
      throw Failure(VERGE_ENGINE_UNSUPPORTED,
                    "the program's " + side + " " + std::to_string(i) +
                        " is a number, a text or a list; export the model with tensors alone");
    }
    const auto info = info_of(i);
    check(info.error(), "reading an input or output", Stage::load);
    tensors.push_back(read_tensor(*info, name));
  }
  return tensors;
}

}  // namespace

std::string method_name(const ::executorch::runtime::Program& program, std::string_view wanted) {
  std::string list;
  std::string only;
  std::string name(wanted.empty() ? "forward" : wanted);
  for (std::size_t i = 0; i < program.num_methods(); ++i) {
    const auto found = program.get_method_name(i);
    check(found.error(), "reading the methods", Stage::load);
    if (*found == name) return name;
    only = *found;
    list += (list.empty() ? "" : ", ") + only;
  }
  if (wanted.empty() && program.num_methods() == 1) return only;
  throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "the program has no method '" + name +
                                                   "'; it has: " + (list.empty() ? "none" : list) +
                                                   ". Name one by the option 'method'");
}

void check_backends(const MethodMeta& method) {
  for (std::size_t i = 0; i < method.num_backends(); ++i) {
    const auto name = method.get_backend_name(i);
    check(name.error(), "reading the backends", Stage::load);
    if (::executorch::runtime::get_backend_class(*name) != nullptr) continue;
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "the program needs the backend '" + std::string(*name) +
                                                "', which this build of ExecuTorch has not; export it for XNNPACK");
  }
}

std::vector<Tensor> read_inputs(const MethodMeta& method) {
  return read_side(
      "input", method.num_inputs(), [&](std::size_t i) { return method.input_tag(i); },
      [&](std::size_t i) { return method.input_tensor_meta(i); });
}

std::vector<Tensor> read_outputs(const MethodMeta& method) {
  return read_side(
      "output", method.num_outputs(), [&](std::size_t i) { return method.output_tag(i); },
      [&](std::size_t i) { return method.output_tensor_meta(i); });
}

}  // namespace verge::engines::executorch
