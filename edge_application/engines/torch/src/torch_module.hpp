// A TorchScript file in LibTorch: a whole module (.pt), or one for PyTorch Mobile's interpreter (.ptl).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <torch/csrc/jit/mobile/module.h>
#include <torch/script.h>

#include "verge/engines/plugin.hpp"

namespace verge::engines::torch_engine {

/// Outputs of a run with their names.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

verge_engine_datatype datatype_of(at::ScalarType type);
at::ScalarType scalar_type_of(verge_engine_datatype type);

/// Used by several threads at once.
class Module {
 public:
  /// Throws Failure: CORRUPT, UNSUPPORTED for operators that this LibTorch has not.
  explicit Module(const std::string& path);

  /// One run. Throws c10::Error for what the model's own code refuses, Failure(UNSUPPORTED) for outputs that are no
  /// tensors.
  [[nodiscard]] NamedTensors run(const std::vector<at::Tensor>& inputs);

 private:
  std::variant<torch::jit::Module, torch::jit::mobile::Module> module_;
};

}  // namespace verge::engines::torch_engine
