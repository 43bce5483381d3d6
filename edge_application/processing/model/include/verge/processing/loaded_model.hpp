// Loaded model: a model package in an engine, ready for workers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/base/file.hpp"
#include "verge/data_processing/custom_steps.hpp"
#include "verge/package/model_package.hpp"
#include "verge/processing/engine.hpp"
#include "verge/processing/features.hpp"
#include "verge/processing/image_decoder.hpp"
#include "verge/processing/postprocessor.hpp"
#include "verge/processing/preprocessor.hpp"
#include "verge/processing/tensor.hpp"

namespace verge::processing {

/// What the settings of a model are chosen for.
enum class Goal : std::uint8_t {
  latency,     ///< One answer as soon as may be.
  throughput,  ///< As many answers a second as may be.
};

/// How a model runs on its engine.
struct Settings {
  unsigned threads = 0;         ///< Of one inference; 0: the engine's default.
  unsigned workers = 1;         ///< Inferences at the same time.
  std::int64_t batch_rows = 1;  ///< Most requests in one inference; 1: batching is off.
  bool operator==(const Settings&) const = default;
};

/// How to load a package. What is not given is measured, when the engine is "auto" or there is a goal.
struct LoadOptions {
  std::string engine;                     ///< Empty: as the package says. "auto": the fastest correct one, measured.
  unsigned threads = 0;                   ///< Threads of one inference; 0: measured, else the engine's default.
  unsigned available_threads = 0;         ///< Most threads that may be used; 0: the engine's default, unmeasured.
  unsigned max_workers = 0;               ///< Workers that will run at the same time; 0: measured, else 1.
  std::int64_t batch_rows = 0;            ///< As in Settings; 0: measured, else 1.
  std::optional<Goal> goal;               ///< Absent: latency, and a named engine is not measured.
  std::filesystem::path state_directory;  ///< Keeps engine choices and compiled models; empty: nothing is kept.
  bool keep_compiled = true;              ///< Compiled models are kept there, too: they hold what the model holds.
  ImageLimits image_limits;
  bool profile = false;                            ///< Worker::profile() will be asked.
  std::optional<IsolationOptions> isolation;       ///< The engine runs in a process of its own.
  data_processing::StepOptions custom_steps;       ///< Whose budget of restarts is the isolation's, where there is one.
  std::shared_ptr<const TemporaryFolder> scratch;  ///< Kept as long as the model: its package lies there.
};

/// One measurement.
struct EngineTrial {
  std::string engine;
  std::string engine_version;
  Settings settings;
  bool correct = false;
  double median_ms = 0;   ///< Of one inference.
  double per_second = 0;  ///< Samples; 0 when the goal is latency.
  std::string reason;     ///< Why it is not used; empty for a correct one.
};

/// Which engine with which settings, and why.
struct EngineChoice {
  std::string engine;
  Settings settings;
  std::string because;              ///< "0.86 ms with 1 thread; next: openvino, 1.02 ms with 2 threads".
  std::vector<EngineTrial> trials;  ///< Empty when nothing was measured.
  bool remembered = false;          ///< Taken from the state directory.
};

/// Where the time of one sample went, in nanoseconds.
struct StageTimes {
  std::int64_t wait_ns = 0;     ///< For a free worker; not part of the total.
  std::int64_t batch_rows = 0;  ///< Of the batch that it ran in; 0: it ran alone.
  std::int64_t decode_ns = 0;
  std::int64_t preprocess_ns = 0;
  std::int64_t infer_ns = 0;
  std::int64_t postprocess_ns = 0;
  [[nodiscard]] std::int64_t total_ns() const noexcept { return decode_ns + preprocess_ns + infer_ns + postprocess_ns; }
};

class LoadedModel;
class Turnstile;
struct Urgency;

/// Runs samples through one model, one at a time. Keeps its memory: in steady state only the engine allocates.
/// Used by one thread at a time; keeps its model alive.
class Worker {
 public:
  Worker(Worker&&) noexcept;
  Worker& operator=(Worker&&) noexcept;
  ~Worker();

  /// A picture as a file's bytes (JPEG, PNG, BMP). The prediction is valid until the next call.
  /// Errors: those of ImageDecoder and Preprocessor; failed_precondition (VRG-MDL-004) when the model takes no
  /// pictures.
  Result<const Prediction*> predict_encoded(std::span<const std::byte> content);
  /// A picture in memory, for example a frame of a video.
  Result<const Prediction*> predict_image(const ImageView& image);
  /// A sample that is no picture, as Features::prepare() or Preprocessor::run_values() take it. Errors: theirs;
  /// failed_precondition (VRG-MDL-004) when the model takes pictures; invalid_argument (VRG-MDL-010) for several
  /// windows where one is wanted.
  Result<const Prediction*> predict_values(std::span<const std::byte> raw);
  /// The input tensors as raw bytes, one for each input, past the preprocessing. Errors: invalid_argument
  /// (VRG-MDL-005).
  Result<const Prediction*> predict_tensors(std::span<const std::vector<std::byte>> inputs);

  /// For callers that fill the tensors themselves: input tensor in the package's order, of this shape (checked against
  /// the model's). Errors: invalid_argument (VRG-MDL-005) with the shape that is expected.
  Result<TensorView> input(std::size_t index, std::span<const std::int64_t> shape);
  /// Runs the model on what the inputs hold; outputs in the package's order, valid until the next run.
  Result<std::span<const TensorView>> infer();
  /// Uses the caller's memory for an input, or an output, in place of the worker's own until unbind(): it has the
  /// tensor's size, begins at a multiple of 64 bytes, and 64 bytes behind its end can be read. False: here it must be
  /// copied (the engine uses its own memory only; nothing was run yet with these shapes).
  bool bind_input(std::size_t index, std::span<std::byte> memory);
  bool bind_output(std::size_t index, std::span<std::byte> memory);
  void unbind();

  /// What each layer took in the last run. Errors: as Request::profile().
  [[nodiscard]] Result<std::vector<LayerTime>> profile() const;
  /// Outputs of the last run, in the package's order; valid until the next.
  [[nodiscard]] std::span<const TensorView> last_outputs() const noexcept;
  [[nodiscard]] const StageTimes& times() const noexcept;
  [[nodiscard]] const Postprocessor& postprocessor() const noexcept;
  [[nodiscard]] const LoadedModel& model() const noexcept;

  /// For a model with custom steps: what runs here takes `threads` of the budget from now on, and gives them back while
  /// a step runs in its own process. A step that loops holds up its own model only. Null: no budget.
  void use_threads(std::shared_ptr<Turnstile> budget, unsigned threads);
  /// How urgent the next call is, in that budget's line.
  void set_urgency(const Urgency& urgency, const std::stop_token& stop);

 private:
  friend class LoadedModel;
  struct State;
  explicit Worker(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A package in an engine. Thread-safe; immutable after load().
class LoadedModel : public std::enable_shared_from_this<LoadedModel> {
 public:
  /// Chooses the engine, loads the model, and checks it against metadata.json. Errors, each with the package's name in
  /// front: the engine's; failed_precondition (VRG-MDL-001 no engine is correct; 002 metadata.json does not fit the
  /// model); those of Preprocessor, Postprocessor and data_processing::CustomSteps.
  static Result<std::shared_ptr<LoadedModel>> load(package::ModelPackage package, EngineCatalogue& engines,
                                                   const LoadOptions& options);
  ~LoadedModel();
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  Result<Worker> create_worker() const;
  /// A worker with another preprocessing than the package's, to try one out.
  Result<Worker> create_worker(const wire::Preprocessing& preprocessing) const;

  [[nodiscard]] const package::ModelPackage& package() const noexcept;
  /// Tensors with the names of metadata.json, in its order.
  [[nodiscard]] std::span<const TensorSpec> inputs() const noexcept;
  [[nodiscard]] std::span<const TensorSpec> outputs() const noexcept;
  [[nodiscard]] const EngineChoice& choice() const noexcept;
  [[nodiscard]] std::string_view engine_version() const noexcept;
  [[nodiscard]] bool takes_image() const noexcept;
  /// Whether the package has custom steps.
  [[nodiscard]] bool has_custom_steps() const noexcept;
  /// Whether the engine, or a custom step, runs in a process of its own; how often one was started again, and whether
  /// one is given up for good.
  [[nodiscard]] bool isolated() const;
  [[nodiscard]] std::size_t restarts() const;
  [[nodiscard]] bool given_up() const;

 private:
  friend class Worker;
  struct State;
  explicit LoadedModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Errors: invalid_argument (VRG-MDL-005) with the shape that is expected.
Result<void> check_input_shape(const TensorSpec& spec, std::span<const std::int64_t> shape);
/// The tensors that metadata.json declares.
[[nodiscard]] std::vector<TensorSpec> declared_tensors(std::span<const wire::Tensor> tensors);
/// Compiles the package's processing against its own metadata, without an engine: what is wrong in a definition is
/// found when the package is made.
Result<void> check_processing(const package::ModelPackage& package);

}  // namespace verge::processing
