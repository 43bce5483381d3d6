// A TensorFlow Lite model loaded in LiteRT.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "litert_api.hpp"
#include "verge/engines/plugin.hpp"
#include "verge/engines/tflite_file.hpp"

namespace verge::engines::litert {

class Request;

/// Calls a destroying function of LiteRT when the handle goes.
template <auto Functions::*destroy>
struct Destroyer {
  template <typename T>
  void operator()(T* handle) const noexcept {
    (functions().*destroy)(handle);
  }
};
using EnvironmentPtr = std::unique_ptr<EnvironmentT, Destroyer<&Functions::DestroyEnvironment>>;
using ModelPtr = std::unique_ptr<ModelT, Destroyer<&Functions::DestroyModel>>;
using OptionsPtr = std::unique_ptr<OptionsT, Destroyer<&Functions::DestroyOptions>>;
using CompiledModelPtr = std::unique_ptr<CompiledModelT, Destroyer<&Functions::DestroyCompiledModel>>;
using TensorBufferPtr = std::unique_ptr<TensorBufferT, Destroyer<&Functions::DestroyTensorBuffer>>;

/// Throws Failure with the operation and LiteRT's status unless it is OK.
void check(int status, const char* operation);

/// One interpreter: LiteRT's compiled model is used by one thread at a time, so that each request has its own.
struct Instance {
  std::atomic<bool> is_cancelled{false};
  bool is_resized = false;
  CompiledModelPtr compiled;
};

class Session {
 public:
  static std::unique_ptr<Session> create(const verge_engine_load& load);
  explicit Session(const verge_engine_load& load);

  [[nodiscard]] const std::vector<TensorDescription>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<TensorDescription>& outputs() const { return outputs_; }
  [[nodiscard]] const std::vector<std::int64_t>& initial_shape(std::size_t input) const {
    return file_.inputs[input].initial_shape;
  }
  std::unique_ptr<Request> create_request();

  /// An interpreter that nobody uses, or a new one.
  std::unique_ptr<Instance> take();
  void give_back(std::unique_ptr<Instance> instance) noexcept;
  /// Shapes of the outputs for the inputs' present shapes.
  [[nodiscard]] std::vector<std::vector<std::int64_t>> output_shapes(const Instance& instance) const;

 private:
  std::unique_ptr<Instance> compile();
  void make_options(const verge_engine_load& load);

  MappedFile content_;  // First: LiteRT's model and interpreters read the weights in it.
  TfliteModel file_;
  std::vector<TensorDescription> inputs_;
  std::vector<TensorDescription> outputs_;
  std::uint32_t max_requests_;
  EnvironmentPtr environment_;
  ModelPtr model_;
  OptionsPtr options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Instance>> idle_;
};

}  // namespace verge::engines::litert
