// Step frame: what the agent and the process of custom steps say to each other.
//
// One packet each: a StepFrame, then its tensors or text. Both sides are of one build, on one machine; the numbers are
// in the machine's own order. python/step_host.py speaks the same.
#pragma once

#include <cstdint>
#include <span>

namespace verge::data_processing {

enum class StepKind : std::uint32_t {
  confine,      ///< JSON: what may be read, limits, program. Answer: with the descriptor of the sandbox's reports.
  load,         ///< JSON: functions and tensors. Answer.
  given,        ///< With memory that the agent writes: `size_bytes` of it. No answer.
  made,         ///< With memory that the process writes. No answer.
  preprocess,   ///< The sample lies at the start of `given`. Answer: a StepTensor for each input, in `made`.
  postprocess,  ///< A StepTensor for each output, in `given`. Answer: JSON at the start of `made`, of `size_bytes`.
  answer,
};

enum class StepStatus : std::uint32_t {
  ok,
  unusable,   ///< Of load: the file or the function.
  raised,     ///< The function failed; the text is its traceback.
  wrong,      ///< It gave something that is no tensor, or no JSON.
  ended,      ///< It did what it must not; the process ends.
  no_memory,  ///< It needed more than it may have; the process ends.
};

struct StepFrame {
  StepKind kind = StepKind::answer;
  StepStatus status = StepStatus::ok;  ///< Of an answer; when it is not ok, the text says why.
  std::uint32_t count = 0;             ///< Tensors that follow.
  std::uint32_t width = 0;             ///< Of the sample.
  std::uint32_t height = 0;
  std::uint32_t unused = 0;
  std::uint64_t size_bytes = 0;
};

constexpr std::uint32_t kMaxRank = 8;

struct StepTensor {
  std::uint32_t datatype = 0;  ///< processing::DataType.
  std::uint32_t rank = 0;
  std::int64_t shape[kMaxRank] = {};
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;

  [[nodiscard]] std::span<const std::int64_t> dimensions() const noexcept { return {shape, rank}; }
};
static_assert(sizeof(StepFrame) == 32 && sizeof(StepTensor) == 88, "python/step_host.py counts on it");

constexpr std::size_t kTensorLimit = 64;
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPacketLimitBytes = std::size_t{160} << 10U;
constexpr int kChannelNumber = 3;

}  // namespace verge::data_processing
