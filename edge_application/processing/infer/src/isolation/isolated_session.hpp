// Isolated session and request: an engine that runs in a process of its own, behind the same ABI as one in this
// process.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "channel.hpp"
#include "verge/engines/background_run.hpp"
#include "verge/engines/plugin.hpp"
#include "verge/process/child.hpp"
#include "verge/process/restart_budget.hpp"
#include "verge/process/shared_memory.hpp"
#include "verge/processing/engine.hpp"

namespace verge::processing::isolation {

class IsolatedRequest;

/// Everything here throws engines::Failure, as the ABI's adapter wants it. Thread-safe.
class IsolatedSession {
 public:
  /// Starts the process and loads the model in it.
  IsolatedSession(std::string engine, std::filesystem::path engine_folder, std::filesystem::path model,
                  SessionOptions options);

  [[nodiscard]] const std::vector<engines::TensorDescription>& inputs() const noexcept { return inputs_; }
  [[nodiscard]] const std::vector<engines::TensorDescription>& outputs() const noexcept { return outputs_; }
  std::unique_ptr<IsolatedRequest> create_request();

  [[nodiscard]] const verge_engine_api& api() const noexcept { return api_; }
  [[nodiscard]] const IsolationOptions& isolation() const noexcept { return *options_.isolation; }
  /// Whether the process has ended too often.
  [[nodiscard]] bool given_up() const;
  [[nodiscard]] std::size_t restarts() const;

 private:
  friend class IsolatedRequest;
  /// What a request needs of the process that runs now.
  struct Line {
    Channel channel;
    std::size_t generation = 0;
  };
  /// A channel for a request; starts the process again when it has ended.
  Line connect();
  [[nodiscard]] bool runs(std::size_t generation) const;
  /// Says how the process of `generation` ended, and sees to its end.
  std::string bury(std::size_t generation, std::string_view why_killed);
  /// Ends a process that has grown past its limit.
  void check_memory(std::size_t generation);
  void start();
  void load();
  void read_description(std::string_view text);

  const std::string engine_;
  const std::filesystem::path engine_folder_;
  const std::filesystem::path model_;
  const SessionOptions options_;
  std::string version_;
  std::vector<engines::TensorDescription> inputs_;
  std::vector<engines::TensorDescription> outputs_;
  verge_engine_api api_{};
  mutable std::mutex mutex_;
  std::optional<process::Child> child_;
  std::optional<Channel> control_;
  std::size_t generation_ = 0;
  process::RestartBudget budget_;
  std::string last_end_;
  std::chrono::steady_clock::time_point memory_checked_{};
};

/// Its input memory is ours, and outlives the process.
class IsolatedRequest {
 public:
  explicit IsolatedRequest(IsolatedSession& session);

  void set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape);
  void input(std::uint32_t index, verge_engine_tensor* out) const;
  void output(std::uint32_t index, verge_engine_tensor* out) const;
  [[noreturn]] void bind_input(std::uint32_t index, const verge_engine_tensor& tensor);
  [[noreturn]] void bind_output(std::uint32_t index, const verge_engine_tensor& tensor);
  void run();
  void start(verge_engine_done done, void* user_data) { background_.start(done, user_data); }
  verge_engine_status wait(verge_engine_error* error) { return background_.wait(error); }
  void cancel() {}  // A run that has begun ends; the ABI allows it.

 private:
  void connect();
  /// Sends, and waits for the answer; a process that ends or takes too long becomes a Failure.
  Message& ask(const Frame& frame, std::span<const std::byte> content = {}, int descriptor = -1);
  void take_places(const Message& message);
  void share_inputs();
  void compute();

  IsolatedSession& session_;
  std::optional<IsolatedSession::Line> line_;
  std::vector<std::vector<std::int64_t>> shapes_;  ///< That were set; empty: as the engine has it.
  std::vector<TensorPlace> inputs_;
  std::vector<TensorPlace> outputs_;
  process::SharedMemory input_memory_;
  process::SharedMemory output_memory_;
  Message message_;
  struct Run {
    IsolatedRequest* request;
    void operator()() const { request->compute(); }
  };
  engines::BackgroundRun<Run> background_{Run{this}};
};

}  // namespace verge::processing::isolation
