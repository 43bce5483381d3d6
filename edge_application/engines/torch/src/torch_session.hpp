// A TorchScript model loaded in LibTorch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "torch_module.hpp"
#include "verge/engines/plugin.hpp"

namespace verge::engines::torch_engine {

inline constexpr const char* kFormats = "torchscript";

class Request;

class Session {
 public:
  static std::unique_ptr<Session> create(const verge_engine_load& load);
  explicit Session(const verge_engine_load& load);

  [[nodiscard]] const std::vector<TensorDescription>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<TensorDescription>& outputs() const { return outputs_; }
  std::unique_ptr<Request> create_request();

  /// One run in this thread, with the session's number of threads. Throws Failure.
  [[nodiscard]] NamedTensors run(const std::vector<at::Tensor>& inputs, verge_engine_status refusal);

 private:
  void find_outputs();
  NamedTensors run_on_zeros(std::int64_t batch);

  Module module_;
  int threads_;
  std::vector<TensorDescription> inputs_;
  std::vector<TensorDescription> outputs_;
};

}  // namespace verge::engines::torch_engine
