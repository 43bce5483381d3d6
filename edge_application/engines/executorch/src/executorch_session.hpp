// A program loaded in ExecuTorch.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>

#include "executorch_memory.hpp"
#include "executorch_model.hpp"
#include "executorch_threads.hpp"
#include "verge/engines/mapped_file.hpp"
#include "verge/engines/plugin.hpp"

namespace verge::engines::executorch {

inline constexpr const char* kFormats = "executorch";

class Request;

/// One interpreter: a method is used by one thread at a time, so that each request has its own.
struct Instance {
  Instance(std::uint32_t threads, const ::executorch::runtime::MethodMeta& meta) : pool(threads), memory(meta) {}

  ThreadPool pool;  // First: XNNPACK's runtimes, which the method owns, keep its address.
  Memory memory;
  std::optional<::executorch::runtime::Method> method;
};

class Session {
 public:
  static std::unique_ptr<Session> create(const verge_engine_load& load);
  explicit Session(const verge_engine_load& load);

  [[nodiscard]] const std::vector<TensorDescription>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<TensorDescription>& outputs() const { return outputs_; }
  [[nodiscard]] const std::vector<Tensor>& input_tensors() const { return input_tensors_; }
  [[nodiscard]] const std::vector<Tensor>& output_tensors() const { return output_tensors_; }
  std::unique_ptr<Request> create_request();

  /// An interpreter that nobody uses, or a new one.
  std::unique_ptr<Instance> take();
  void give_back(std::unique_ptr<Instance> instance) noexcept;

 private:
  std::unique_ptr<Instance> make_instance() const;

  MappedFile content_;  // First: the program reads its weights there.
  ::executorch::extension::BufferDataLoader loader_;
  std::optional<::executorch::runtime::Program> program_;
  std::string method_;
  std::uint32_t threads_;
  std::uint32_t max_requests_;
  std::vector<Tensor> input_tensors_;
  std::vector<Tensor> output_tensors_;
  std::vector<TensorDescription> inputs_;
  std::vector<TensorDescription> outputs_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Instance>> idle_;
};

}  // namespace verge::engines::executorch
