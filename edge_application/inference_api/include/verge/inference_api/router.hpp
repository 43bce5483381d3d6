// Router: the local inference API over HTTP (Open Inference Protocol v2, and pictures in).
//
//   GET  /v2 · /v2/health/live · /v2/health/ready · /v2/models/{m}[/versions/{v}][/ready] · /metrics
//   POST /v2/models/{m}[/versions/{v}]/infer     tensors in, tensors out (JSON, or the binary tensor extension)
//   POST /v2/models/{m}[/versions/{v}]/predict   a picture in; JSON out, or a PNG by Accept
#pragma once

#include <string>

#include "verge/http/server.hpp"
#include "verge/inference_api/model_repository.hpp"

namespace verge::inference_api {

/// Answers requests. Thread-safe; both references must outlive it.
class Router {
 public:
  Router(const ModelRepository& models, telemetry::Metrics& metrics, std::string agent_version)
      : models_(models), metrics_(metrics), version_(std::move(agent_version)) {}

  /// Never throws; every refusal is {"error": "…"} with 400, 404, 405, 413, 415 or 503.
  http::Response handle(const http::Request& request) const;

 private:
  const ModelRepository& models_;
  telemetry::Metrics& metrics_;
  std::string version_;
};

}  // namespace verge::inference_api
