// Router: the local inference API over HTTP (Open Inference Protocol v2, and pictures in).
//
//   GET  /v2 · /v2/health/live · /v2/health/ready · /metrics · /v2/models/stats
//   GET  /v2/models/{m}[/versions/{v}][/ready|/config|/stats]
//   POST /v2/models/{m}[/versions/{v}]/infer     tensors in, tensors out (JSON, binary, or in shared memory)
//   POST /v2/models/{m}[/versions/{v}]/predict   a picture in; JSON out, or a PNG by Accept
//   POST /v2/repository/index · /v2/repository/models/{m}/{load,unload}
//   GET  /v2/systemsharedmemory[/region/{r}]/status · POST …/register · …/unregister (and cudasharedmemory, empty)
#pragma once

#include "verge/http/server.hpp"
#include "verge/inference_api/service.hpp"

namespace verge::inference_api {

/// Answers requests. Thread-safe; both references must outlive it.
class Router {
 public:
  Router(const Service& service, telemetry::Metrics& metrics) : service_(service), metrics_(metrics) {}

  /// Never throws; every refusal is {"error": "…"} with 400, 404, 405, 406, 409, 413, 415 or 503.
  http::Response handle(const http::Request& request) const;

 private:
  const Service& service_;
  telemetry::Metrics& metrics_;
};

}  // namespace verge::inference_api
