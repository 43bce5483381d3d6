// A run of a model in LibTorch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "torch_session.hpp"
#include "verge/engines/background_run.hpp"
#include "verge/engines/host_buffer.hpp"

namespace verge::engines::torch_engine {

class Request {
 public:
  explicit Request(Session& session);
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  void set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape);
  void input(std::uint32_t index, verge_engine_tensor* out) const;
  void output(std::uint32_t index, verge_engine_tensor* out) const;
  void bind_input(std::uint32_t index, const verge_engine_tensor& tensor);
  void bind_output(std::uint32_t index, const verge_engine_tensor& tensor);
  void run();
  void start(verge_engine_done done, void* user_data);
  verge_engine_status wait(verge_engine_error* error);
  void cancel() {}  // LibTorch cannot be asked to end early.

 private:
  struct Run {
    Request* request;
    void operator()() const { request->compute(); }
  };

  void compute();
  void wrap_input(std::size_t index);
  void keep_output(std::size_t index, const at::Tensor& tensor);

  Session& session_;
  std::vector<HostBuffer> inputs_;
  std::vector<at::Tensor> input_tensors_;  ///< Of that memory.
  std::vector<HostBuffer> outputs_;
  BackgroundRun<Run> background_{Run{this}};  // Last: it ends before what it uses.
};

}  // namespace verge::engines::torch_engine
