// Routes for devices, and what anybody may fetch.
#include <memory>
#include <mutex>

#include "embedded.hpp"
#include "handlers.hpp"

namespace verge::hub {
namespace {

http::Response desired_answer(const Result<std::optional<wire::DesiredState>>& state) {
  if (!state) return error_answer(state.error());
  if (*state) return document(200, wire::to_node(**state));
  http::Response response;
  response.status = 204;
  return response;
}

/// Where the hub's answer and the server's way to send it meet; either may come first.
struct Meeting {
  std::mutex mutex;
  std::optional<http::Response> response;
  std::function<void(http::Response)> send;

  void answer(http::Response made) {
    std::function<void(http::Response)> ready;
    {
      const std::lock_guard lock(mutex);
      if (!send) {
        response = std::move(made);
        return;
      }
      ready = send;
    }
    ready(std::move(made));
  }
  void way(const std::function<void(http::Response)>& to) {
    std::optional<http::Response> ready;
    {
      const std::lock_guard lock(mutex);
      ready = std::move(response);
      send = to;
    }
    if (ready) to(std::move(*ready));
  }
};

http::Response get_desired(Hub& hub, const Call& call) {
  const auto after = call.number("after", -1, -1, std::int64_t{1} << 53);
  const auto wait_s = call.number("wait_s", 0, 0, 60);
  if (!after) return error_answer(after.error());
  if (!wait_s) return error_answer(wait_s.error());
  const auto meeting = std::make_shared<Meeting>();
  // Asked here and not when the request is held: the socket thread never waits for the database.
  hub.desired(call.caller, *after, *wait_s * 1000,
              [meeting](const auto& state) { meeting->answer(desired_answer(state)); });
  {
    const std::lock_guard lock(meeting->mutex);
    if (meeting->response) return std::move(*meeting->response);
  }
  http::Response response;
  response.later = [meeting](const std::function<void(http::Response)>& send) { meeting->way(send); };
  return response;
}

http::Response text(std::string_view content, std::string content_type) {
  http::Response response;
  response.content_type = std::move(content_type);
  response.body = content;
  return response;
}

http::Response page() {
  auto response = text(embedded_page(), "text/html; charset=utf-8");
  response.headers = {{"Content-Security-Policy",
                       "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
                       "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cache-Control", "no-cache"}};
  return response;
}

}  // namespace

http::Response handle_device(Hub& hub, RouteName route, const Call& call) {
  if (route == RouteName::get_desired) return get_desired(hub, call);
  if (route == RouteName::put_report) {
    const auto report = body_of<wire::ReportedState>(call.request, wire::read_reported_state);
    if (!report) return error_answer(report.error());
    return answer(call.status, hub.report(call.caller, *report));
  }
  const auto digest = call.at("digest");
  if (route == RouteName::get_package_deltas) return answer(call.status, hub.package_deltas(call.caller, digest));
  const auto content = hub.device_blob(call.caller, digest);
  if (!content) return error_answer(content.error());
  return file_answer(call.request, content->file, content->size_bytes, digest);
}

http::Response handle_trust(Hub& hub, RouteName route, const Call& call) {
  if (route == RouteName::get_page) return page();
  if (route == RouteName::get_openapi) return text(embedded_openapi(), "application/json");
  const auto content =
      route == RouteName::get_tuf_metadata ? hub.trust_metadata(call.at("file")) : hub.trust_target(call.at("path"));
  if (!content) return error_answer(content.error());
  return text(*content, "application/json");
}

}  // namespace verge::hub
