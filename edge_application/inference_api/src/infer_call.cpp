#include "verge/inference_api/infer_call.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "malformed.hpp"

namespace verge::inference_api {
namespace {

using processing::TensorSpec;
using processing::TensorView;
using Clock = std::chrono::steady_clock;

std::string names(std::span<const TensorSpec> specs) {
  std::string text;
  for (const auto& spec : specs) text += (text.empty() ? "'" : ", '") + spec.name + "'";
  return text;
}

std::int64_t ns_since(Clock::time_point start) {
  return std::chrono::nanoseconds(Clock::now() - start).count();
}

/// Which of the model's inputs each given one is.
Result<std::vector<std::size_t>> match_inputs(const InferCall& call, std::span<const TensorSpec> specs) {
  if (call.inputs.size() != specs.size()) {
    return malformed("VRG-API-010", fmt::format("expected 'inputs' as a list of {} tensor(s), got {}; for example {}",
                                                specs.size(), call.inputs.size(), example(specs)));
  }
  std::vector<std::size_t> order(specs.size(), specs.size());
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const auto found = std::ranges::find(specs, call.inputs[i].name, &TensorSpec::name);
    const auto index = static_cast<std::size_t>(found - specs.begin());
    if (found == specs.end() || std::ranges::find(order, index) != order.end()) {
      return malformed("VRG-API-010", fmt::format("expected inputs called {}, each once, got '{}'; for example {}",
                                                  names(specs), call.inputs[i].name, example(specs)));
    }
    order[i] = index;
  }
  return order;
}

Result<void> check_dimensions(const GivenInput& input, const TensorSpec& spec) {
  constexpr std::size_t kMaxRank = 8;
  constexpr std::int64_t kMaxDimension = std::int64_t{1} << 31;
  const auto possible = [](std::int64_t dimension) { return dimension >= 0 && dimension <= kMaxDimension; };
  if (input.shape.size() <= kMaxRank && std::ranges::all_of(input.shape, possible)) return {};
  return malformed(
      "VRG-API-012",
      fmt::format("input '{}': expected 'shape' as at most {} whole numbers up to {}, got {}; for example {}",
                  spec.name, kMaxRank, kMaxDimension, processing::describe(input.shape).substr(0, 80), example(spec)));
}

/// Everything that can be said without the tensor's memory. Gives the part of shared memory that it lies in, if any.
Result<std::optional<MappedPart>> check_input(const GivenInput& input, const TensorSpec& spec, const InferCall& call,
                                              const SharedMemory& memory) {
  if (input.datatype != processing::name(spec.datatype)) {
    return malformed("VRG-API-011", fmt::format("input '{}': expected datatype {}, got '{}'; for example {}", spec.name,
                                                processing::name(spec.datatype), input.datatype, example(spec)));
  }
  if (std::holds_alternative<std::monostate>(input.content)) {
    return malformed("VRG-API-013",
                     fmt::format("input '{}': expected 'data' as a list, 'binary_data_size' or 'shared_memory_region', "
                                 "got none of them; for example {}",
                                 spec.name, example(spec)));
  }
  VERGE_TRY(check_dimensions(input, spec));
  const auto elements = processing::element_count(input.shape);
  std::optional<MappedPart> mapped;
  const auto* part = std::get_if<SharedMemoryPart>(&input.content);
  if (part != nullptr) {
    VERGE_ASSIGN(mapped, memory.map(*part));
  }
  // A variable dimension is the client's word: memory is taken only for what the request can hold (a byte a value).
  const std::uint64_t limit = part != nullptr ? part->size_bytes : call.request_bytes;
  if (!processing::element_count(spec.shape) && (!elements || *elements > limit)) {
    return malformed("VRG-API-012", fmt::format("input '{}': the shape {} holds more values than the request's {} "
                                                "bytes; for example {}",
                                                spec.name, processing::describe(input.shape), limit, example(spec)));
  }
  return mapped;
}

Result<void> check_size(const TensorSpec& spec, const TensorView& tensor, std::uint64_t got) {
  if (got == tensor.size_bytes) return {};
  return malformed("VRG-API-014", fmt::format("expected {} bytes for input '{}' ({}{}), got {}; for example {}",
                                              tensor.size_bytes, spec.name, processing::name(spec.datatype),
                                              processing::describe(tensor.shape), got, example(spec)));
}

/// Whether a tensor may stay where its client can change it while the model runs: engines read these types as numbers
/// only, the others also as positions in other tensors, which they check before they use them.
bool may_change(processing::DataType type) noexcept {
  using processing::DataType;
  return type == DataType::uint8 || type == DataType::int8 || type == DataType::fp16 || type == DataType::bf16 ||
         type == DataType::fp32 || type == DataType::fp64;
}

bool can_be_lent(const MappedPart& part, processing::DataType type) noexcept {
  constexpr std::size_t kWorthIt_bytes = 16384;  // Less is copied sooner than an engine is told of other memory.
  constexpr std::uintptr_t kAlignment = 64;
  return may_change(type) && part.bytes().size() >= kWorthIt_bytes &&
         reinterpret_cast<std::uintptr_t>(part.bytes().data()) % kAlignment == 0;
}

Result<void> write_input(const GivenInput& input, const TensorSpec& spec, const TensorView& tensor, std::size_t index,
                         const std::optional<MappedPart>& part, processing::Turn& turn) {
  if (part) {
    VERGE_TRY(check_size(spec, tensor, part->bytes().size()));
    if (can_be_lent(*part, spec.datatype) && turn.borrow_input(index, {part->bytes(), part->owner()})) return {};
    std::memcpy(tensor.data, part->bytes().data(), part->bytes().size());
    return part->check();
  }
  if (const auto* bytes = std::get_if<std::span<const std::byte>>(&input.content)) {
    VERGE_TRY(check_size(spec, tensor, bytes->size()));
    std::memcpy(tensor.data, bytes->data(), bytes->size());
    return {};
  }
  return std::get<FillTensor>(input.content)(spec, tensor);
}

Result<std::vector<InferAnswer::Output>> match_outputs(const InferCall& call, std::span<const TensorSpec> specs,
                                                       const SharedMemory& memory) {
  std::vector<InferAnswer::Output> outputs;
  if (call.outputs.empty()) {
    for (const auto& spec : specs) outputs.push_back({&spec, {}, call.binary_outputs});
    return outputs;
  }
  for (const auto& wanted : call.outputs) {
    const auto found = std::ranges::find(specs, wanted.name, &TensorSpec::name);
    if (found == specs.end()) {
      return malformed("VRG-API-010",
                       fmt::format("the model has no output '{}'; it has {}", wanted.name, names(specs)));
    }
    auto& output = outputs.emplace_back(InferAnswer::Output{&*found, {}, wanted.binary, wanted.destination});
    if (wanted.destination) {
      VERGE_ASSIGN(output.place, memory.map(*wanted.destination));
    }
  }
  return outputs;
}

using MappedInputs = std::vector<std::optional<MappedPart>>;

bool overlap(const MappedPart& a, const MappedPart& b) noexcept {
  return a.bytes().data() < b.bytes().data() + b.bytes().size() &&
         b.bytes().data() < a.bytes().data() + a.bytes().size();
}

/// Lets the model write where the client wants the outputs, where nothing else of the call lies there.
void lend_outputs(std::vector<InferAnswer::Output>& outputs, const MappedInputs& inputs, processing::Turn& turn) {
  const auto* first = turn.model().outputs().data();
  for (auto& output : outputs) {
    if (!output.place || !can_be_lent(*output.place, output.spec->datatype)) continue;
    const auto taken = [&](const auto& other) { return other && overlap(*other, *output.place); };
    const auto taken_by_output = [&](const auto& other) { return &other != &output && taken(other.place); };
    if (std::ranges::any_of(inputs, taken) || std::ranges::any_of(outputs, taken_by_output)) continue;
    static_cast<void>(turn.borrow_output(static_cast<std::size_t>(output.spec - first),
                                         {output.place->bytes(), output.place->owner()}));
  }
}

Result<void> deliver(InferAnswer::Output& output) {
  if (!output.place) return {};
  const auto bytes = output.place->bytes();
  if (bytes.size() < output.tensor.size_bytes) {
    return malformed("VRG-API-014", fmt::format("output '{}' has {} bytes, more than the {} of shared memory that it "
                                                "was to be put into",
                                                output.spec->name, output.tensor.size_bytes, bytes.size()));
  }
  output.destination->size_bytes = output.tensor.size_bytes;
  if (output.tensor.data != bytes.data()) std::memcpy(bytes.data(), output.tensor.data, output.tensor.size_bytes);
  return output.place->check();
}

std::int64_t rows_of(const InferCall& call, std::span<const TensorSpec> specs) {
  const bool batched = !specs.empty() && !specs[0].shape.empty() && specs[0].shape[0] < 0;
  return batched && !call.inputs.empty() && !call.inputs[0].shape.empty() ? call.inputs[0].shape[0] : 1;
}

Result<InferAnswer> run_checked(const InferCall& call, ServedModel& served, const SharedMemory& memory,
                                RequestTimes& times) {
  const auto& model = served.workers->model();
  const auto specs = model.inputs();
  VERGE_ASSIGN(const auto order, match_inputs(call, specs));
  MappedInputs mapped(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    VERGE_ASSIGN(mapped[i], check_input(call.inputs[i], specs[order[i]], call, memory));
  }
  InferAnswer answer;
  VERGE_ASSIGN(answer.outputs, match_outputs(call, model.outputs(), memory));
  answer.turn = std::make_shared<processing::Turn>(*served.workers, urgency(call.priority, call.timeout_us));
  const auto start = Clock::now();
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto& spec = specs[order[i]];
    auto tensor = answer.turn->input(order[i], call.inputs[i].shape);
    if (!tensor && tensor.error().code() == ErrorCode::invalid_argument) {
      return malformed("VRG-API-012", fmt::format("{}; for example {}", tensor.error().message(), example(spec)));
    }
    if (!tensor) return std::move(tensor).error();
    VERGE_TRY(write_input(call.inputs[i], spec, *tensor, order[i], mapped[i], *answer.turn));
  }
  lend_outputs(answer.outputs, mapped, *answer.turn);
  const auto written_ns = ns_since(start);
  VERGE_ASSIGN(const auto tensors, answer.turn->infer());
  const auto& stages = answer.turn->times();
  times.queue_ns = stages.wait_ns;
  times.infer_ns = stages.infer_ns;
  times.input_ns = std::max<std::int64_t>(0, written_ns - stages.wait_ns);
  const auto computed = Clock::now();
  for (const auto& part : mapped) {
    if (part) VERGE_TRY(part->check());
  }
  for (auto& output : answer.outputs) {
    output.tensor = tensors[static_cast<std::size_t>(output.spec - model.outputs().data())];
    VERGE_TRY(deliver(output));
  }
  times.output_ns = ns_since(computed);
  served.observe(stages);
  return answer;
}

}  // namespace

std::string example(const TensorSpec& spec) {
  auto shape = spec.shape;
  for (auto& dimension : shape) dimension = dimension < 0 ? 1 : dimension;
  return fmt::format(R"({{"name":"{}","datatype":"{}","shape":{},"data":[…]}})", spec.name,
                     processing::name(spec.datatype), processing::describe(shape));
}

std::string example(std::span<const TensorSpec> specs) {
  std::string inputs;
  for (const auto& spec : specs) inputs += (inputs.empty() ? "" : ",") + example(spec);
  return R"({"inputs":[)" + inputs + "]}";
}

processing::Urgency urgency(std::uint64_t priority, std::uint64_t timeout_us) {
  constexpr std::uint64_t kDefault = 100;
  constexpr std::uint64_t kLowest = 1'000'000;
  constexpr std::uint64_t kLongest_us = 600'000'000;
  processing::Urgency urgent;
  urgent.priority = priority == 0 ? 0 : static_cast<int>(kDefault) - static_cast<int>(std::min(priority, kLowest));
  urgent.deadline = Clock::now() + (timeout_us == 0 ? std::chrono::microseconds(kPatience)
                                                    : std::chrono::microseconds(std::min(timeout_us, kLongest_us)));
  return urgent;
}

Result<InferAnswer> run(const InferCall& call, ServedModel& model, const SharedMemory& memory) {
  const auto start = Clock::now();
  RequestTimes times;
  auto answer = run_checked(call, model, memory, times);
  if (answer) {
    times.rows = rows_of(call, model.workers->model().inputs());
    times.batch_rows = answer->turn->times().batch_rows;
    model.statistics.succeed(times);
    model.count("ok");
  } else {
    model.statistics.fail(ns_since(start));
    model.count(http_status(answer.error().code()) < 500 ? "refused" : "failed");
  }
  return answer;
}

}  // namespace verge::inference_api
