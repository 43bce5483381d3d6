// An ExecuTorch program's tensors in the ABI's words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <executorch/runtime/core/exec_aten/exec_aten.h>
#include <executorch/runtime/executor/method_meta.h>
#include <executorch/runtime/executor/program.h>

#include "verge/engines/plugin.hpp"

namespace verge::engines::executorch {

/// An input or output. Its shape is that of the memory: a tensor that PyTorch calls [1,3,224,224] and keeps with its
/// channels last is [1,224,224,3] here, and nobody copies it.
struct Tensor {
  TensorDescription description;
  ::executorch::aten::ScalarType type = ::executorch::aten::ScalarType::Float;
  std::vector<::executorch::aten::SizesType> sizes;  ///< As PyTorch counts them.
  std::vector<::executorch::aten::DimOrderType> dim_order;
  std::vector<::executorch::aten::StridesType> strides;
  bool is_planned = false;  ///< Its memory is the program's: contents are copied there and back.
};

/// The method that runs: `wanted`, else "forward", else the only one. Throws Failure(INVALID_ARGUMENT) naming them all.
std::string method_name(const ::executorch::runtime::Program& program, std::string_view wanted);

/// Throws Failure(UNSUPPORTED) naming the backends that the method needs and this build has not.
void check_backends(const ::executorch::runtime::MethodMeta& method);

/// The method's tensors. Throws Failure(UNSUPPORTED) for inputs and outputs that are numbers or lists.
std::vector<Tensor> read_inputs(const ::executorch::runtime::MethodMeta& method);
std::vector<Tensor> read_outputs(const ::executorch::runtime::MethodMeta& method);

}  // namespace verge::engines::executorch
