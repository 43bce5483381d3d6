#include "verge/inference_api/router.hpp"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "api.hpp"

namespace verge::inference_api {
namespace {

using nlohmann::ordered_json;

http::Response infer(const http::Request& request, ServedModel& served, const SharedMemory& memory) {
  const auto call = read_infer_request(request, served.workers->model());
  if (!call) {
    served.statistics.fail(0);
    served.count("refused");
    return refuse(call.error());
  }
  auto answer = run(*call, served, memory);
  if (!answer) return refuse(answer.error());
  return write_infer_response(*call, served, std::move(*answer));
}

http::Response counted_predict(const http::Request& request, ServedModel& served) {
  http::Response response = predict(request, served);
  served.count(response.status < 400 ? "ok" : response.status < 500 ? "refused" : "failed");
  return response;
}

/// "/v2/models/{m}[/versions/{v}][/action]", decoded.
struct ModelPath {
  std::string model;
  std::string version;
  std::string action;
};

std::optional<ModelPath> model_path(std::string_view rest) {
  std::vector<std::string> parts;
  while (!rest.empty()) {
    const auto end = std::min(rest.find('/'), rest.size());
    std::string part;
    if (!http::decode_percent(rest.substr(0, end), part) || part.empty()) return std::nullopt;
    parts.push_back(std::move(part));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  ModelPath path;
  std::size_t next = 0;
  if (parts.empty()) return std::nullopt;
  path.model = parts[next++];
  if (next + 1 < parts.size() && parts[next] == "versions") {
    path.version = parts[next + 1];
    next += 2;
  }
  if (next < parts.size()) path.action = parts[next++];
  if (next != parts.size()) return std::nullopt;
  return path;
}

http::Response model_request(const http::Request& request, const Service& service, const ModelPath& path) {
  constexpr std::array<std::string_view, 6> kActions{"", "ready", "config", "stats", "infer", "predict"};
  if (std::ranges::find(kActions, path.action) == kActions.end()) return refuse(unknown_path(request.path));
  const bool posts = path.action == "infer" || path.action == "predict";
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (posts ? request.method != "POST" : !reads) return wrong_method(request.path, posts ? "POST" : "GET");
  const auto found = service.models().find(path.model, path.version);
  if (!found) return refuse(found.error());
  ServedModel& served = **found;
  if (path.action.empty()) return model_metadata(served);
  if (path.action == "ready" && !served.ready()) {
    return refuse(Error(
        ErrorCode::unavailable, "VRG-API-006",
        fmt::format("model '{}' is given up: its process ended too often; give it another version", served.name)));
  }
  if (path.action == "ready") return empty_response();
  if (path.action == "config") return model_config(served);
  if (path.action == "stats") return model_statistics({*found});
  return path.action == "infer" ? infer(request, served, service.memory()) : counted_predict(request, served);
}

http::Response server_metadata(const Service& service) {
  return json_response({{"name", "verge-agent"}, {"version", service.version()}, {"extensions", Service::kExtensions}});
}

}  // namespace

http::Response json_response(const ordered_json& body) {
  return {200, "application/json", {}, body.dump(-1, ' ', false, ordered_json::error_handler_t::replace)};
}

http::Response empty_response() {
  return {200, "application/json", {}, ""};
}

http::Response wrong_method(std::string_view path, std::string_view allowed) {
  http::Response response =
      refuse(Error(ErrorCode::invalid_argument, "VRG-API-004", fmt::format("'{}' takes {} only", path, allowed)));
  response.status = 405;
  response.headers.emplace_back("Allow", allowed);
  return response;
}

Error unknown_path(std::string_view path) {
  return Error(ErrorCode::not_found, "VRG-API-005",
               fmt::format("there is nothing at '{}'; the API is /v2, /v2/health/live, /v2/health/ready, "
                           "/v2/models/MODEL[/versions/VERSION][/ready], …/config, …/stats, …/infer, …/predict, "
                           "/v2/repository/…, /v2/systemsharedmemory/…, /metrics",
                           path));
}

http::Response refuse(const Error& error) {
  const ordered_json body{{"error", error.text()}};
  http::Response response{http_status(error.code()), "application/json", {}, ""};
  response.body = body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  // The protocol knows 400 for what is wrong with the request, whatever is wrong with it.
  if (error.code() == ErrorCode::data_loss || error.code() == ErrorCode::failed_precondition) response.status = 400;
  if (error.code() == ErrorCode::unimplemented) response.status = 415;
  if (error.code() == ErrorCode::deadline_exceeded) response.status = 503;
  if (response.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

http::Response Router::handle(const http::Request& request) const {
  constexpr std::string_view kModels = "/v2/models/";
  constexpr std::string_view kRepository = "/v2/repository/";
  constexpr std::string_view kSystemMemory = "/v2/systemsharedmemory/";
  constexpr std::string_view kDeviceMemory = "/v2/cudasharedmemory/";
  const auto behind = [&](std::string_view prefix) { return request.path.substr(prefix.size()); };
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (request.path == "/v2/models/stats" && reads) return model_statistics(*service_.served("", ""));
  if (request.path.starts_with(kModels)) {
    const auto path = model_path(behind(kModels));
    return path ? model_request(request, service_, *path) : refuse(unknown_path(request.path));
  }
  if (request.path.starts_with(kRepository)) return repository_request(request, behind(kRepository), service_);
  if (request.path.starts_with(kSystemMemory)) {
    return shared_memory_request(request, behind(kSystemMemory), service_.memory());
  }
  if (request.path.starts_with(kDeviceMemory)) return device_memory_request(request, behind(kDeviceMemory));
  constexpr std::array<std::string_view, 4> kFixed{"/v2", "/v2/health/live", "/v2/health/ready", "/metrics"};
  if (std::ranges::find(kFixed, request.path) == kFixed.end()) return refuse(unknown_path(request.path));
  if (!reads) return wrong_method(request.path, "GET");
  if (request.path == "/metrics") return {200, "text/plain; version=0.0.4; charset=utf-8", {}, metrics_.text()};
  if (request.path == "/v2/health/live") return empty_response();
  if (request.path == "/v2/health/ready") {
    if (service_.models().ready()) return empty_response();
    return refuse(Error(ErrorCode::unavailable, "VRG-API-003", "the models are still being loaded"));
  }
  return server_metadata(service_);
}

}  // namespace verge::inference_api
