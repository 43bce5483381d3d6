// A run of a program in ExecuTorch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <executorch/runtime/core/exec_aten/exec_aten.h>

#include "executorch_session.hpp"
#include "verge/engines/background_run.hpp"
#include "verge/engines/host_buffer.hpp"

namespace verge::engines::executorch {

class Request {
 public:
  explicit Request(Session& session);
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  void set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape);
  void input(std::uint32_t index, verge_engine_tensor* out) const;
  void output(std::uint32_t index, verge_engine_tensor* out);
  void bind_input(std::uint32_t index, const verge_engine_tensor& tensor);
  void bind_output(std::uint32_t index, const verge_engine_tensor& tensor);
  void run();
  void start(verge_engine_done done, void* user_data);
  verge_engine_status wait(verge_engine_error* error);
  void cancel() {}  // A program that XNNPACK took as a whole is one instruction: it ends normally.

 private:
  struct Run {
    Request* request;
    void operator()() const { request->compute(); }
  };

  void compute();
  void give_input(std::size_t index);
  void give_output(std::size_t index);
  void fetch_output(std::size_t index);

  Session& session_;
  std::unique_ptr<Instance> instance_;
  // Memory of inputs and outputs is ours, where a program plans its own it may overwrite an input in a run.
  std::vector<HostBuffer> inputs_;
  std::vector<HostBuffer> outputs_;
  std::vector<std::vector<std::int64_t>> output_shapes_;
  BackgroundRun<Run> background_{Run{this}};  // Last: it ends before what it uses.
};

}  // namespace verge::engines::executorch
