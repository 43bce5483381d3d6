// Engine: plug-ins behind the C ABI, as C++ objects.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/processing/tensor.hpp"

namespace verge::processing {

/// Smallest arithmetic an engine may use for float tensors.
enum class Precision : std::uint8_t { f32, bf16, f16, automatic };

/// The program that engines run in when they are isolated: "verge-engine-worker" beside the folder of the plug-ins.
[[nodiscard]] std::filesystem::path default_engine_worker();

/// An engine in a process of its own: a model that crashes, hangs or leaks takes down only that.
struct IsolationOptions {
  std::filesystem::path program = default_engine_worker();
  std::size_t max_restarts = 3;  ///< Within `restart_window`; then every run fails.
  std::chrono::seconds restart_window{60};
  std::chrono::milliseconds run_timeout{30'000};  ///< Of one run; then the process is ended.
  std::uint64_t max_memory_bytes = 0;             ///< Resident; a process past it is ended. 0: no limit.
};

/// How to load a model.
struct SessionOptions {
  std::string format;         ///< "onnx", "tflite", …
  unsigned threads = 0;       ///< Threads of one inference; 0: the engine's default.
  unsigned max_requests = 1;  ///< Requests that will run at the same time.
  Precision precision = Precision::f32;
  std::filesystem::path cache_directory;  ///< Empty: nothing compiled is kept.
  std::string device;                     ///< Empty: CPU.
  std::string delegate;                   ///< Empty: the engine's default.
  std::vector<std::pair<std::string, std::string>> options;
  bool profile = false;                       ///< Request::profile() will be asked; runs may be slower.
  std::optional<IsolationOptions> isolation;  ///< Absent: in this process.
};

/// An operation as the engine runs it, and what it took.
struct LayerTime {
  std::string name;
  std::string kind;
  std::int64_t time_ns = 0;
};

class Session;

/// Buffers of one run. Used by one thread at a time. Keeps its session alive.
class Request {
 public:
  Request(Request&&) noexcept;
  Request& operator=(Request&&) noexcept;
  ~Request();

  /// Engine-owned input memory to write into; valid until set_input_shape() or the end of the request. Empty, with the
  /// declared shape, while an input with a variable dimension waits for set_input_shape(). A variable first dimension
  /// (the batch) begins as 1.
  [[nodiscard]] const TensorView& input(std::size_t index) const;
  /// Content of an output, valid from the end of run() to the next run().
  [[nodiscard]] const TensorView& output(std::size_t index) const;
  [[nodiscard]] std::span<const TensorView> outputs() const;

  /// Gives a variable input its shape. Errors: invalid_argument, unimplemented.
  Result<void> set_input_shape(std::size_t index, std::span<const std::int64_t> shape);
  /// Uses this memory for an input from now on, until its shape is set: it must have the input's size, begin at a
  /// multiple of 64 bytes and outlive the request. Errors: invalid_argument; unimplemented, where the engine copies.
  Result<void> bind_input(std::size_t index, std::span<std::byte> memory);
  /// The same for an output, whose shape must be that of the last run. Errors: as bind_input(); failed_precondition
  /// (VRG-ENG-020) before the first run, and when the shape of an input was set since.
  Result<void> bind_output(std::size_t index, std::span<std::byte> memory);
  /// Runs the model and waits. Allocates nothing itself.
  Result<void> run();
  /// What each layer took in the last run. Errors: unimplemented (VRG-ENG-019) where the engine does not know;
  /// the engine's own when the session was not made with `profile`.
  Result<std::vector<LayerTime>> profile() const;

 private:
  friend class Session;
  struct State;
  explicit Request(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A loaded model in an engine. Thread-safe: several threads may each run their own request.
class Session : public std::enable_shared_from_this<Session> {
 public:
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] std::span<const TensorSpec> inputs() const;
  [[nodiscard]] std::span<const TensorSpec> outputs() const;
  [[nodiscard]] std::string_view engine() const;
  [[nodiscard]] std::string_view engine_version() const;
  [[nodiscard]] bool isolated() const;
  /// How often the isolated process was started again, and whether it is given up: every run fails then.
  [[nodiscard]] std::size_t restarts() const;
  [[nodiscard]] bool given_up() const;

  Result<Request> create_request();

 private:
  friend class EngineCatalogue;
  friend class Request;
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What an engine is and reads.
struct EngineInfo {
  std::string name;
  std::string version;
  std::vector<std::string> formats;
  std::filesystem::path library;
};

/// The engines of this machine: "libverge_engine_<name>.so" in one folder, each loaded (RTLD_LOCAL) on first use.
/// Thread-safe. Never unloads a library.
class EngineCatalogue {
 public:
  /// `folder`: where the plug-ins are; default_engine_folder() for the ones built or installed with this program.
  explicit EngineCatalogue(std::filesystem::path folder);
  ~EngineCatalogue();
  EngineCatalogue(const EngineCatalogue&) = delete;
  EngineCatalogue& operator=(const EngineCatalogue&) = delete;

  /// Names of the plug-ins in the folder, sorted; loads none.
  [[nodiscard]] std::vector<std::string> names() const;
  /// Names, sizes and change times of the plug-ins; loads none. A measurement of engines holds while it stays the same.
  [[nodiscard]] std::string fingerprint() const;
  /// Loads the plug-in and asks it. Errors: not_found (VRG-ENG-001, names those that are there), failed_precondition
  /// (wrong ABI version), unavailable (does not load).
  Result<EngineInfo> info(std::string_view name);
  /// Loads a model in the named engine. Errors: as info(); not_found (VRG-ENG-004, no such file), unimplemented
  /// (VRG-ENG-005, not the engine's format); and the engine's own (VRG-ENG-010 to -016), the model's path in front:
  /// invalid_argument, unimplemented, data_loss, unavailable, resource_exhausted, cancelled, internal.
  Result<std::shared_ptr<Session>> load(std::string_view engine, const std::filesystem::path& model,
                                        const SessionOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// $VERGE_ENGINE_PATH when set; else "../lib/verge/engines" beside the program, installed and in the build tree alike;
/// else, for test programs, the build tree's.
[[nodiscard]] std::filesystem::path default_engine_folder();

}  // namespace verge::processing
