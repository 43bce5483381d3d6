// Step process: one confined process, from its start to its end.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "step_frame.hpp"
#include "steps_state.hpp"
#include "verge/process/channel.hpp"
#include "verge/process/child.hpp"
#include "verge/process/sandbox.hpp"
#include "verge/process/shared_memory.hpp"

namespace verge::data_processing {

/// A received answer.
struct StepAnswer {
  StepFrame frame;
  std::span<const std::byte> content;  ///< Valid until the next one.

  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(content.data()), content.size()};
  }
};

/// How long a call may take: processor time, and time by the clock.
struct StepLimit {
  std::chrono::milliseconds processor;
  std::chrono::milliseconds clock;
};

/// Started on demand, and again after it has ended while the budget of its model lasts. Used by one thread at a time.
class StepProcess {
 public:
  /// `preprocess` and `postprocess`: which of the model's functions it has.
  StepProcess(StepsState& steps, bool preprocess, bool postprocess)
      : steps_(steps), preprocess_(preprocess), postprocess_(postprocess) {}

  /// Starts it when it does not run. Errors: VRG-STP-003, 004 and 007 to 011.
  Result<void> ensure();
  /// Memory to write what is given into: at least so much. Kept from call to call. Errors: resource_exhausted.
  Result<std::span<std::byte>> given(std::size_t size_bytes);
  [[nodiscard]] std::span<const std::byte> made() const noexcept { return made_.bytes(); }
  /// Sends, and waits for the answer. `step`: who is named in errors. Errors: VRG-STP-004 to 010.
  Result<StepAnswer> ask(const wire::CustomStep& step, const StepFrame& frame, std::span<const std::byte> content,
                         const StepLimit& limit);

 private:
  struct Running {
    process::Child child;
    process::Channel channel;
    process::SandboxWatch watch;
    Descriptor words;  ///< What it writes to its error output.
  };
  /// Why there is no answer.
  struct Silence {
    enum class Why : std::uint8_t { by_itself, too_long, forbidden, no_memory, nonsense };
    Why why = Why::by_itself;
    std::string what{};  ///< "took more than 1000 ms of processor time"; empty for `by_itself`.
  };
  static Error error_of(const wire::CustomStep& step, const Silence& silence, std::string_view words);

  Result<void> start();
  Result<void> confine();
  Result<void> load();
  Result<void> share_memory();
  [[nodiscard]] const wire::CustomStep& first_step() const noexcept;
  std::optional<Silence> wait(process::Packet& packet, const StepLimit& limit);
  std::optional<Silence> look(process::Packet& packet, int patience_ms, bool& received);
  Error failure_of(const wire::CustomStep& step, const StepAnswer& answer);
  /// Sees to its end, and says how it came.
  Error bury(const wire::CustomStep& step, const Silence& silence);
  /// What it wrote since the last call.
  std::string take_words();

  StepsState& steps_;
  bool preprocess_;
  bool postprocess_;
  std::optional<std::chrono::steady_clock::time_point> started_;  ///< Last.
  std::optional<Running> running_;
  process::SharedMemory given_;
  process::SharedMemory made_;
};

}  // namespace verge::data_processing
