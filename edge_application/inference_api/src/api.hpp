// What the parts of the API share.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/http/server.hpp"
#include "verge/inference_api/model_repository.hpp"
#include "verge/processing/tensor.hpp"

namespace verge::inference_api {

/// Longest time that a request waits for its turn.
inline constexpr std::chrono::milliseconds kPatience{30'000};

/// {"error": "…"} with the status of the error's code.
[[nodiscard]] http::Response refuse(const Error& error);

/// One output that the client wants.
struct WantedOutput {
  std::size_t index = 0;
  bool binary = false;
};

/// An infer request whose tensors have been written into the worker.
struct InferCall {
  std::optional<std::string> id;
  std::vector<WantedOutput> outputs;
};

/// Reads the request's tensors straight into the worker's inputs. Errors: invalid_argument (VRG-API-010 …), each with
/// expected, got and, for shapes, a corrected example.
Result<InferCall> read_infer_request(const http::Request& request, processing::Worker& worker);

/// The answer: JSON, with the wanted binary tensors behind it.
[[nodiscard]] http::Response write_infer_response(const InferCall& call, const ServedModel& model,
                                                  std::span<const processing::TensorView> outputs);

/// POST …/predict.
http::Response predict(const http::Request& request, ServedModel& model);

}  // namespace verge::inference_api
