// Custom steps: functions of a package's own, in Python or as a plug-in, run in confined processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/image.hpp"
#include "verge/processing/prediction.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/wire/custom_step.hpp"

namespace verge::data_processing {

/// "verge-step-worker" beside the folder of the engines' plug-ins, and the Python program that it becomes.
[[nodiscard]] std::filesystem::path default_step_worker();
[[nodiscard]] std::filesystem::path default_step_host();
/// $VERGE_STEP_PYTHON when set, else /usr/bin/python3.
[[nodiscard]] std::filesystem::path default_step_python();

/// What holds for all custom steps of this machine.
struct StepOptions {
  bool forbidden = false;
  bool allow_without_sandbox = false;
  std::filesystem::path python = default_step_python();
  std::filesystem::path worker = default_step_worker();
  std::filesystem::path host = default_step_host();
  std::size_t max_restarts = 3;  ///< Of the processes of one model within `restart_window`; then every call fails.
  std::chrono::seconds restart_window{60};
  /// From one start of a process to the next, at least: starting costs its neighbours more than running. A call waits
  /// for it, and holds up its own model only.
  std::chrono::milliseconds restart_pause{1000};
  /// Told of each process that ended, or was ended, in the middle of its work; null: nobody is.
  std::function<void(const Error&)> on_ended{};
};

/// A model's custom steps.
struct StepOrder {
  std::optional<wire::CustomStep> preprocess;
  std::optional<wire::CustomStep> postprocess;
  std::filesystem::path package;                 ///< Its top; must stay for as long as calls are made.
  std::vector<std::filesystem::path> elsewhere;  ///< Files of the package that its folder has only links to.
  std::vector<processing::TensorSpec> inputs;    ///< Of the model, in the package's order.
  std::vector<processing::TensorSpec> outputs;
  bool takes_image = false;
};

struct StepsState;

/// Processes of one model's custom steps share a budget of restarts. Thread-safe.
class CustomSteps {
 public:
  /// Starts nothing. Errors: permission_denied (VRG-STP-001: forbidden here); failed_precondition (VRG-STP-002: no
  /// sandbox here); unavailable (VRG-STP-003: no interpreter); invalid_argument (VRG-STP-004: a tensor that steps
  /// cannot have).
  static Result<std::shared_ptr<CustomSteps>> create(StepOrder order, StepOptions options);
  ~CustomSteps();
  CustomSteps(const CustomSteps&) = delete;
  CustomSteps& operator=(const CustomSteps&) = delete;

  [[nodiscard]] const StepOrder& order() const noexcept;
  [[nodiscard]] std::size_t restarts() const;
  /// Whether its processes ended too often: every call fails then.
  [[nodiscard]] bool given_up() const;

 private:
  friend class StepWorker;
  explicit CustomSteps(std::unique_ptr<StepsState> state);
  std::unique_ptr<StepsState> state_;
};

/// The process, or with steps of both kinds the two, of one of a model's workers. Keeps its memory: in steady state a
/// call allocates nothing. Used by one thread at a time; keeps its CustomSteps alive.
///
/// Errors of calls: internal (VRG-STP-005 an exception, with its traceback; 006 a result that is not what was expected;
/// 007 it took too long; 008 it did what steps must not; 009 it needed too much memory; 010 its process ended);
/// unavailable (VRG-STP-011 given up). After 007 to 010 the next call starts the process again.
class StepWorker {
 public:
  /// Starts what is needed and loads the functions. `preprocesses`: false leaves that step out. Errors: unavailable
  /// (VRG-STP-003); failed_precondition (VRG-STP-004 the file or the function cannot be used, with the traceback);
  /// those of calls.
  static Result<StepWorker> start(std::shared_ptr<CustomSteps> steps, bool preprocesses);
  StepWorker(StepWorker&&) noexcept;
  StepWorker& operator=(StepWorker&&) noexcept;
  ~StepWorker();

  [[nodiscard]] bool preprocesses() const noexcept;
  [[nodiscard]] bool postprocesses() const noexcept;

  /// A picture (RGB), or the raw bytes of another sample, to the model's inputs: of their types, with dimensions that
  /// they allow. Valid until the next call; the process may still write there: copy before trusting.
  Result<std::span<const processing::TensorView>> preprocess(const processing::ImageView& picture);
  Result<std::span<const processing::TensorView>> preprocess(std::span<const std::byte> raw);
  /// The model's outputs to a prediction, which is valid until the next call. `source`: the picture's size; 0 × 0.
  Result<void> postprocess(std::span<const processing::TensorView> outputs, processing::ImageSize source,
                           processing::Prediction& prediction);

 private:
  struct State;
  explicit StepWorker(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Whether the file's name says that it is a plug-in.
[[nodiscard]] bool is_plugin(const wire::CustomStep& step) noexcept;

}  // namespace verge::data_processing
