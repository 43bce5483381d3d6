// Infer call: one inference that a client asks for, whatever the wire: HTTP and gRPC read and write it, here it runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/inference_api/model_repository.hpp"
#include "verge/inference_api/shared_memory.hpp"
#include "verge/processing/tensor.hpp"
#include "verge/processing/turn.hpp"

namespace verge::inference_api {

/// Writes one input's values into its tensor; the spec is for its errors.
using FillTensor =
    std::function<Result<void>(const processing::TensorSpec& spec, const processing::TensorView& tensor)>;

/// An input tensor as the client gave it. Views into the request.
struct GivenInput {
  std::string name;
  std::string datatype;
  std::vector<std::int64_t> shape;
  /// None yet; its bytes; where they are; or how to write them.
  std::variant<std::monostate, std::span<const std::byte>, SharedMemoryPart, FillTensor> content;
};

struct WantedOutput {
  std::string name;
  bool binary = false;                          ///< The wire's business.
  std::optional<SharedMemoryPart> destination;  ///< In place of the answer.
};

struct InferCall {
  std::optional<std::string> id;
  std::vector<GivenInput> inputs;     ///< In any order.
  std::vector<WantedOutput> outputs;  ///< Empty: all.
  bool binary_outputs = false;        ///< For those when `outputs` is empty.
  std::uint64_t priority = 0;         ///< 0: none; else 1 goes first, and 100 is what those without one have.
  std::uint64_t timeout_us = 0;       ///< Longest wait for a turn; 0: kPatience.
  std::size_t request_bytes = 0;      ///< Of the whole request: no shape may hold more values.
};

/// Longest time that a request waits for its turn.
inline constexpr std::chrono::milliseconds kPatience{30'000};

/// What came of a call. Tensors are valid as long as `turn` lives, and nobody else has its place meanwhile.
struct InferAnswer {
  struct Output {
    const processing::TensorSpec* spec;
    processing::TensorView tensor;
    bool binary;
    std::optional<SharedMemoryPart> destination{};  ///< It is there already.
    std::optional<MappedPart> place{};              ///< The same, mapped.
  };
  std::shared_ptr<processing::Turn> turn;
  std::vector<Output> outputs;
};

/// Checks the call, waits for a turn, runs it, and counts it in the model's metrics and statistics. Errors:
/// invalid_argument (VRG-API-010 … 014, 034 …), each with expected, got and a corrected example; those of
/// processing::Turn.
Result<InferAnswer> run(const InferCall& call, ServedModel& model, const SharedMemory& memory);

/// When a request has to have its turn, and whom it goes before.
[[nodiscard]] processing::Urgency urgency(std::uint64_t priority, std::uint64_t timeout_us);

}  // namespace verge::inference_api
