// A run of a model in LiteRT.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "litert_session.hpp"
#include "verge/engines/background_run.hpp"
#include "verge/engines/host_buffer.hpp"

namespace verge::engines::litert {

inline constexpr const char* kFormats = "tflite";

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
  void cancel();

 private:
  /// A tensor's memory and LiteRT's handle of it.
  struct Side {
    std::vector<HostBuffer> memory;
    std::vector<TensorBufferPtr> owned;
    std::vector<TensorBuffer> handles;

    void resize(std::size_t count);
    void allocate(std::size_t index, verge_engine_datatype type, std::span<const std::int64_t> shape);
    void bind(std::size_t index, const TensorDescription& tensor, const verge_engine_tensor& given);
    void wrap(std::size_t index, verge_engine_datatype type);
  };
  struct Run {
    Request* request;
    void operator()() const { request->compute(); }
  };

  void compute();
  void resize(std::uint32_t index, std::span<const std::int64_t> shape);
  void allocate_outputs();

  Session& session_;
  std::unique_ptr<Instance> instance_;
  Side inputs_;
  Side outputs_;
  BackgroundRun<Run> background_{Run{this}};  // Last: it ends before what it uses.
};

}  // namespace verge::engines::litert
