// What the parts of the HTTP API share.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "verge/base/error.hpp"
#include "verge/http/server.hpp"
#include "verge/inference_api/infer_call.hpp"
#include "verge/inference_api/service.hpp"

namespace verge::inference_api {

/// {"error": "…"} with the status of the error's code.
[[nodiscard]] http::Response refuse(const Error& error);
[[nodiscard]] http::Response json_response(const nlohmann::ordered_json& body);
[[nodiscard]] http::Response empty_response();
[[nodiscard]] http::Response wrong_method(std::string_view path, std::string_view allowed);
[[nodiscard]] Error unknown_path(std::string_view path);

/// Reads the request; its tensors stay where they are. Errors: invalid_argument (VRG-API-010 …), each with expected and
/// got.
Result<InferCall> read_infer_request(const http::Request& request, const processing::LoadedModel& model);
/// JSON, with the wanted binary tensors behind it, which stay where they are: the answer keeps the turn.
[[nodiscard]] http::Response write_infer_response(const InferCall& call, const ServedModel& model, InferAnswer answer);

/// GET /v2/models/{m}, …/config, …/stats.
http::Response model_metadata(const ServedModel& model);
http::Response model_config(const ServedModel& model);
http::Response model_statistics(const std::vector<std::shared_ptr<ServedModel>>& models);

/// /v2/repository/…: `rest` is what follows.
http::Response repository_request(const http::Request& request, std::string_view rest, const Service& service);
/// /v2/systemsharedmemory/… and /v2/cudasharedmemory/….
http::Response shared_memory_request(const http::Request& request, std::string_view rest, SharedMemory& memory);
http::Response device_memory_request(const http::Request& request, std::string_view rest);

/// POST …/predict.
http::Response predict(const http::Request& request, ServedModel& model);

}  // namespace verge::inference_api
