#include "pipeline_paths.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace verge::agent {
namespace {

constexpr std::string_view kRoot = "/pipelines";
/// The page's own parts and this agent, nothing else.
constexpr const char* kPagePolicy =
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; script-src "
    "'unsafe-inline'";

http::Response refuse(const Error& error) {
  http::Response response;
  response.status = http_status(error.code());
  response.body = nlohmann::json{{"error", error.text()}}.dump();
  return response;
}

http::Response page() {
  http::Response response;
  response.content_type = "text/html; charset=utf-8";
  response.headers = {{"Content-Security-Policy", kPagePolicy}, {"Cache-Control", "no-cache"}};
  response.body = pipelines_page();
  return response;
}

http::Response list(const Serving& serving) {
  http::Response response;
  response.headers.emplace_back("Cache-Control", "no-store");
  response.body = "{\"pipelines\":[";
  const char* separator = "";
  for (const auto& pipeline : serving.pipelines()) {
    response.body += std::exchange(separator, ",") + pipeline->status_json();
  }
  response.body += "]}";
  return response;
}

/// Motion JPEG as browsers and players know it: each picture is asked for when the one before has been sent. The
/// boundary comes behind each, for players that look for it: the next picture may be long in coming.
http::Response stream(const std::shared_ptr<pipeline::Preview>& preview) {
  http::Response response;
  response.content_type = "multipart/x-mixed-replace; boundary=picture";
  response.headers.emplace_back("Cache-Control", "no-store");
  response.body = "--picture\r\n";
  response.more = [preview](std::function<void(std::string)> piece) {
    preview->next([piece = std::move(piece)](const pipeline::Preview::Jpeg& jpeg) {
      if (jpeg == nullptr) return piece({});
      piece(fmt::format("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n{}\r\n--picture\r\n", jpeg->size(),
                        *jpeg));
    });
  };
  return response;
}

http::Response still(const std::shared_ptr<pipeline::Preview>& preview) {
  http::Response response;
  response.later = [preview](const std::function<void(http::Response)>& answer) {
    preview->next([answer](const pipeline::Preview::Jpeg& jpeg) {
      if (jpeg == nullptr) {
        return answer(refuse(Error(ErrorCode::unavailable, "VRG-AGT-033", "the pipeline gives no picture any more")));
      }
      answer({200, "image/jpeg", {{"Cache-Control", "no-store"}}, *jpeg});
    });
  };
  return response;
}

http::Response take_sample(const http::Request& request, PipelineThread& pipeline) {
  if (pipeline.inbox() == nullptr) {
    return refuse(Error(ErrorCode::failed_precondition, "VRG-AGT-034",
                        fmt::format("pipeline '{}' finds its samples itself; only one with 'source: {{ http: }}' is "
                                    "sent some",
                                    pipeline.name())));
  }
  if (request.body.empty()) {
    return refuse(Error(ErrorCode::invalid_argument, "VRG-AGT-034",
                        "expected a sample as the body (a picture, a WAV file, a table row), got nothing"));
  }
  if (!pipeline.inbox()->offer(request.remote_address, request.body, false)) {
    auto response = refuse(Error(ErrorCode::unavailable, "VRG-AGT-035",
                                 fmt::format("the queue of pipeline '{}' is full; send again later, or raise its "
                                             "'queue'",
                                             pipeline.name())));
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }
  return {202, "application/json", {}, fmt::format("{{\"waiting\":{}}}", pipeline.inbox()->waiting())};
}

http::Response answer_part(const http::Request& request, std::string_view part, PipelineThread& pipeline) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (part.empty() && reads) return {200, "application/json", {}, pipeline.status_json()};
  if (part == "samples") {
    if (request.method == "POST") return take_sample(request, pipeline);
    return {405, "application/json", {{"Allow", "POST"}}, R"({"error":"expected POST"})"};
  }
  if ((part != "preview.mjpeg" && part != "preview.jpg") || !reads) {
    return refuse(Error(ErrorCode::not_found, "VRG-AGT-032",
                        "expected GET /pipelines/NAME, …/preview.mjpeg or …/preview.jpg, or POST …/samples"));
  }
  if (pipeline.preview() == nullptr) {
    return refuse(Error(ErrorCode::not_found, "VRG-AGT-033",
                        fmt::format("pipeline '{}' has no preview; add 'preview:' to its sinks", pipeline.name())));
  }
  return part == "preview.jpg" ? still(pipeline.preview()) : stream(pipeline.preview());
}

}  // namespace

std::optional<http::Response> answer_pipelines(const http::Request& request, const Serving& serving) {
  std::string_view path = request.path;
  if (!path.starts_with(kRoot)) return std::nullopt;
  path.remove_prefix(kRoot.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  if (!path.empty()) path.remove_prefix(1);
  const auto slash = path.find('/');
  const auto name = path.substr(0, slash);
  const auto part = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  const bool browser = request.method == "GET" && request.header("Accept").find("text/html") != std::string_view::npos;
  if (part.empty() && browser) return page();
  if (name.empty()) {
    if (request.method == "GET" || request.method == "HEAD") return list(serving);
    return http::Response{405, "application/json", {{"Allow", "GET"}}, R"({"error":"expected GET"})"};
  }
  if (const auto pipeline = serving.pipeline(name)) return answer_part(request, part, *pipeline);
  return refuse(Error(ErrorCode::not_found, "VRG-AGT-032",
                      fmt::format("no pipeline '{}' runs here; GET /pipelines tells which do", name)));
}

}  // namespace verge::agent
