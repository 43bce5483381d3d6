#include <cstring>

#include <fmt/format.h>

#include "step_process.hpp"
#include "tensor_answer.hpp"
#include "verge/data_processing/prediction_reader.hpp"

namespace verge::data_processing {
namespace {

/// By the clock, a busy device gives ten times as long.
constexpr int kClockFactor = 10;

StepLimit limit_of(const wire::CustomStep& step) {
  const std::chrono::milliseconds processor(step.time_limit_ms);
  return {processor, processor * kClockFactor};
}

}  // namespace

struct StepWorker::State {
  std::shared_ptr<CustomSteps> steps;
  std::optional<StepProcess> first;
  std::optional<StepProcess> second;  ///< Of the postprocessing, when one step is Python and the other a plug-in.
  bool preprocesses = false;
  bool postprocesses = false;
  std::vector<StepTensor> tensors;
  std::vector<processing::TensorView> views;
  std::string json;
  PredictionReader reader;

  [[nodiscard]] StepProcess& postprocess() { return second ? *second : *first; }

  Result<std::span<const processing::TensorView>> preprocess(const StepFrame& frame) {
    const auto& step = *steps->order().preprocess;
    VERGE_ASSIGN(const StepAnswer answer, first->ask(step, frame, {}, limit_of(step)));
    VERGE_TRY(read_tensors(answer.content, steps->order().inputs, first->made(), tensors, views));
    return std::span<const processing::TensorView>(views);
  }
};

StepWorker::StepWorker(std::unique_ptr<State> state) : state_(std::move(state)) {}
StepWorker::StepWorker(StepWorker&&) noexcept = default;
StepWorker& StepWorker::operator=(StepWorker&&) noexcept = default;
StepWorker::~StepWorker() = default;

Result<StepWorker> StepWorker::start(std::shared_ptr<CustomSteps> steps, bool preprocesses) {
  auto state = std::make_unique<State>();
  StepsState& shared = *steps->state_;
  state->preprocesses = preprocesses && shared.order.preprocess.has_value();
  state->postprocesses = shared.order.postprocess.has_value();
  const bool apart = state->preprocesses && state->postprocesses &&
                     is_plugin(*shared.order.preprocess) != is_plugin(*shared.order.postprocess);
  state->first.emplace(shared, state->preprocesses, state->postprocesses && !apart);
  if (apart) state->second.emplace(shared, false, true);
  state->steps = std::move(steps);
  VERGE_TRY(state->first->ensure());
  if (apart) {
    VERGE_TRY(state->second->ensure());
  }
  return StepWorker(std::move(state));
}

bool StepWorker::preprocesses() const noexcept {
  return state_->preprocesses;
}
bool StepWorker::postprocesses() const noexcept {
  return state_->postprocesses;
}

Result<std::span<const processing::TensorView>> StepWorker::preprocess(const processing::ImageView& picture) {
  State& s = *state_;
  VERGE_TRY(s.first->ensure());
  const std::size_t row_bytes = static_cast<std::size_t>(picture.width) * 3;
  const std::size_t size = row_bytes * static_cast<std::size_t>(picture.height);
  VERGE_ASSIGN(const auto given, s.first->given(size));
  for (int y = 0; y < picture.height; ++y) {
    std::memcpy(given.data() + static_cast<std::size_t>(y) * row_bytes, picture.row(y), row_bytes);
  }
  return s.preprocess({.kind = StepKind::preprocess,
                       .width = static_cast<std::uint32_t>(picture.width),
                       .height = static_cast<std::uint32_t>(picture.height),
                       .size_bytes = size});
}

Result<std::span<const processing::TensorView>> StepWorker::preprocess(std::span<const std::byte> raw) {
  State& s = *state_;
  VERGE_TRY(s.first->ensure());
  VERGE_ASSIGN(const auto given, s.first->given(raw.size()));
  if (!raw.empty()) std::memcpy(given.data(), raw.data(), raw.size());
  return s.preprocess({.kind = StepKind::preprocess, .size_bytes = raw.size()});
}

Result<void> StepWorker::postprocess(std::span<const processing::TensorView> outputs, processing::ImageSize source,
                                     processing::Prediction& prediction) {
  State& s = *state_;
  const auto& step = *s.steps->order().postprocess;
  StepProcess& process = s.postprocess();
  VERGE_TRY(process.ensure());
  s.tensors.resize(outputs.size());
  std::size_t end = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    StepTensor& tensor = s.tensors[i];
    tensor.datatype = static_cast<std::uint32_t>(outputs[i].datatype);
    tensor.rank = static_cast<std::uint32_t>(std::min<std::size_t>(outputs[i].shape.size(), kMaxRank));
    std::copy_n(outputs[i].shape.begin(), tensor.rank, tensor.shape);
    tensor.offset_bytes = end;
    tensor.size_bytes = outputs[i].size_bytes;
    end += (outputs[i].size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  VERGE_ASSIGN(const auto given, process.given(end));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].size_bytes == 0) continue;
    std::memcpy(given.data() + s.tensors[i].offset_bytes, outputs[i].data, outputs[i].size_bytes);
  }
  const StepFrame frame{.kind = StepKind::postprocess,
                        .count = static_cast<std::uint32_t>(outputs.size()),
                        .width = static_cast<std::uint32_t>(source.width),
                        .height = static_cast<std::uint32_t>(source.height)};
  VERGE_ASSIGN(const StepAnswer answer, process.ask(step, frame, std::as_bytes(std::span(s.tensors)), limit_of(step)));
  const auto made = process.made();
  const auto size = std::min<std::uint64_t>(answer.frame.size_bytes, std::min(made.size(), kPredictionLimitBytes + 1));
  // A copy of our own: what lies there may change while it is read.
  s.json.assign(reinterpret_cast<const char*>(made.data()), size);
  return s.reader.read(s.json, made, prediction);
}

}  // namespace verge::data_processing
