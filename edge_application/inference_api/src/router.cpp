#include "verge/inference_api/router.hpp"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "api.hpp"

namespace verge::inference_api {
namespace {

using nlohmann::ordered_json;

http::Response json_response(const ordered_json& body) {
  return {200, "application/json", {}, body.dump(-1, ' ', false, ordered_json::error_handler_t::replace)};
}

http::Response empty_response() {
  return {200, "application/json", {}, ""};
}

ordered_json tensor_json(const processing::TensorSpec& spec) {
  return {{"name", spec.name}, {"datatype", processing::name(spec.datatype)}, {"shape", spec.shape}};
}

http::Response model_metadata(const ServedModel& served) {
  const auto& model = served.workers->model();
  ordered_json body{
      {"name", served.name},
      {"versions", {served.version()}},
      {"platform", model.choice().engine + "_" + std::string(wire::name(model.package().metadata.model.format))},
      {"inputs", ordered_json::array()},
      {"outputs", ordered_json::array()}};
  for (const auto& spec : model.inputs()) body["inputs"].push_back(tensor_json(spec));
  for (const auto& spec : model.outputs()) body["outputs"].push_back(tensor_json(spec));
  ordered_json choice{{"engine", model.choice().engine}, {"engine_version", model.engine_version()}};
  for (const auto& trial : model.choice().trials) {
    ordered_json tried{{"engine", trial.engine}, {"correct", trial.correct}};
    if (trial.correct) tried["median_ms"] = trial.median_ms;
    if (!trial.reason.empty()) tried["reason"] = trial.reason;
    choice["trials"].push_back(std::move(tried));
  }
  body["parameters"] = {{"digest", model.package().digest}, {"choice", std::move(choice)}};
  return json_response(body);
}

http::Response infer(const http::Request& request, ServedModel& served) {
  auto worker = served.workers->acquire(kPatience);
  if (!worker) return refuse(worker.error());
  auto call = read_infer_request(request, **worker);
  if (!call) return refuse(call.error());
  const auto outputs = (*worker)->infer();
  if (!outputs) return refuse(outputs.error());
  served.observe((*worker)->times());
  return write_infer_response(*call, served, *outputs);
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
                           "/v2/models/MODEL[/versions/VERSION][/ready], …/infer, …/predict, /metrics",
                           path));
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

http::Response model_request(const http::Request& request, const ModelRepository& models, const ModelPath& path) {
  const bool posts = path.action == "infer" || path.action == "predict";
  if (!posts && !path.action.empty() && path.action != "ready") return refuse(unknown_path(request.path));
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (posts ? request.method != "POST" : !reads) return wrong_method(request.path, posts ? "POST" : "GET");
  const auto found = models.find(path.model, path.version);
  if (!found) return refuse(found.error());
  ServedModel& served = **found;
  if (path.action.empty()) return model_metadata(served);
  if (path.action == "ready") return empty_response();
  http::Response response = path.action == "infer" ? infer(request, served) : predict(request, served);
  served.count(response.status < 400 ? "ok" : response.status < 500 ? "refused" : "failed");
  return response;
}

}  // namespace

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
  if (request.path.starts_with(kModels)) {
    const auto path = model_path(request.path.substr(kModels.size()));
    return path ? model_request(request, models_, *path) : refuse(unknown_path(request.path));
  }
  constexpr std::array<std::string_view, 4> kFixed{"/v2", "/v2/health/live", "/v2/health/ready", "/metrics"};
  if (std::find(kFixed.begin(), kFixed.end(), request.path) == kFixed.end()) return refuse(unknown_path(request.path));
  if (request.method != "GET" && request.method != "HEAD") return wrong_method(request.path, "GET");
  if (request.path == "/metrics") return {200, "text/plain; version=0.0.4; charset=utf-8", {}, metrics_.text()};
  if (request.path == "/v2/health/live") return empty_response();
  if (request.path == "/v2/health/ready") {
    if (models_.ready()) return empty_response();
    return refuse(Error(ErrorCode::unavailable, "VRG-API-003", "the models are still being loaded"));
  }
  return json_response({{"name", "verge-agent"}, {"version", version_}, {"extensions", {"binary_tensor_data"}}});
}

}  // namespace verge::inference_api
