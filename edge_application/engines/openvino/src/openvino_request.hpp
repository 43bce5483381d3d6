// A run of a model in OpenVINO.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/infer_request.hpp>

#include "openvino_model.hpp"
#include "verge/engines/background_run.hpp"
#include "verge/engines/host_buffer.hpp"

namespace verge::engines::openvino {

/// Compiled models of one session. The fixed one runs the first shapes, without the cost of shapes that may change; the
/// variable one, made when a request first asks for other shapes, runs them all.
class Compiled {
 public:
  virtual ~Compiled() = default;
  virtual ov::CompiledModel& fixed() = 0;
  virtual ov::CompiledModel& variable() = 0;
  [[nodiscard]] virtual const ReadModel& description() const = 0;
};

class Request {
 public:
  explicit Request(Compiled& compiled);
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
  void cancel();
  void profile(verge_engine_each_layer each, void* user_data) const;

 private:
  void use(ov::CompiledModel& model);
  void set_input(std::size_t index);
  void set_output(std::size_t index);
  void check_ready() const;

  Compiled& compiled_;
  bool is_fixed_ = true;
  ov::InferRequest request_;
  std::vector<std::vector<std::int64_t>> shapes_;  ///< Of the inputs; with -1 where not yet set.
  // Memory of inputs, and of outputs whose shapes are known, is ours: OpenVINO's own is not aligned to 64 bytes.
  std::vector<HostBuffer> inputs_;
  std::vector<HostBuffer> outputs_;
  std::vector<std::vector<std::int64_t>> output_shapes_;
  AsyncState async_;
};

}  // namespace verge::engines::openvino
