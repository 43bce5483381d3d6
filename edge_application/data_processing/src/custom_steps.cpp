#include "verge/data_processing/custom_steps.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <system_error>

#include <fmt/format.h>

#include "step_frame.hpp"
#include "steps_state.hpp"
#include "verge/process/sandbox.hpp"

namespace verge::data_processing {
namespace {

/// "verge-step-worker" and the like lie beside the folder of the engines' plug-ins, installed and in the build tree.
std::filesystem::path beside_engines(std::string_view name, const std::filesystem::path& in_build_tree) {
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  const std::array<std::filesystem::path, 3> folders{program / "../lib/verge",
                                                     program / ".." / VERGE_LIBRARY_FOLDER / "verge", in_build_tree};
  for (const auto& folder : folders) {
    if (std::filesystem::exists(folder / name, failed)) return (folder / name).lexically_normal();
  }
  return (folders.front() / name).lexically_normal();
}

Result<void> check_tensors(std::string_view side, std::span<const processing::TensorSpec> tensors) {
  for (const auto& spec : tensors) {
    const bool fits = spec.datatype != processing::DataType::bytes && spec.shape.size() <= kMaxRank;
    if (fits && tensors.size() <= kTensorLimit) continue;
    return Error(ErrorCode::invalid_argument, "VRG-STP-004",
                 fmt::format("custom steps: expected at most {} {}s of numbers, of at most {} dimensions, got {} with "
                             "'{}' {}; declare the step with Verge's own steps",
                             kTensorLimit, side, kMaxRank, tensors.size(), spec.name, processing::describe(spec)));
  }
  return {};
}

Result<void> check_system(const StepOrder& order, const StepOptions& options) {
  if (options.forbidden) {
    return Error(ErrorCode::permission_denied, "VRG-STP-001",
                 "the package has custom steps, which the agent's configuration forbids ('custom_steps: {forbidden: "
                 "true}'); declare the processing with Verge's own steps, or allow them");
  }
  if (const auto missing = process::sandbox_lacks(); !missing.empty() && !options.allow_without_sandbox) {
    return Error(ErrorCode::failed_precondition, "VRG-STP-002",
                 fmt::format("the package has custom steps, and this system cannot confine them: it lacks {}; use a "
                             "kernel that has it, or, where you trust every package as you trust the agent, say "
                             "'custom_steps: {{allow_without_sandbox: true}}'",
                             missing));
  }
  const bool needs_python =
      (order.preprocess && !is_plugin(*order.preprocess)) || (order.postprocess && !is_plugin(*order.postprocess));
  if (needs_python && ::access(options.python.c_str(), X_OK) != 0) {
    return Error(ErrorCode::unavailable, "VRG-STP-003",
                 fmt::format("the package has Python steps, and there is no interpreter at '{}'; install python3 (and "
                             "python3-numpy), or name another one with 'custom_steps: {{python: …}}'",
                             options.python.string()));
  }
  return {};
}

}  // namespace

std::filesystem::path default_step_worker() {
  return beside_engines("verge-step-worker", VERGE_BUILD_STEP_FOLDER);
}

std::filesystem::path default_step_host() {
  return beside_engines("data_processing/step_host.py", VERGE_BUILD_STEP_FOLDER);
}

std::filesystem::path default_step_python() {
  // The environment is read once by a program's start, before it has threads.
  const char* const set = std::getenv("VERGE_STEP_PYTHON");
  return set != nullptr && set[0] != '\0' ? set : "/usr/bin/python3";
}

bool is_plugin(const wire::CustomStep& step) noexcept {
  return step.file.ends_with(".so");
}

CustomSteps::CustomSteps(std::unique_ptr<StepsState> state) : state_(std::move(state)) {}
CustomSteps::~CustomSteps() = default;

Result<std::shared_ptr<CustomSteps>> CustomSteps::create(StepOrder order, StepOptions options) {
  VERGE_TRY(check_system(order, options));
  VERGE_TRY(check_tensors("input", order.inputs));
  VERGE_TRY(check_tensors("output", order.outputs));
  order.package = std::filesystem::absolute(order.package).lexically_normal();
  return std::shared_ptr<CustomSteps>(
      new CustomSteps(std::make_unique<StepsState>(std::move(order), std::move(options))));
}

const StepOrder& CustomSteps::order() const noexcept {
  return state_->order;
}

std::size_t CustomSteps::restarts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->restarts;
}

bool CustomSteps::given_up() const {
  const std::lock_guard lock(state_->mutex);
  return state_->budget.spent();
}

}  // namespace verge::data_processing
