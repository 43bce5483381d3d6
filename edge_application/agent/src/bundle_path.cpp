#include "bundle_path.hpp"

#include <fmt/format.h>

#include "verge/wire/carried_bundle.hpp"

namespace verge::agent {
namespace {

http::Response answer_with(const Error& error) {
  http::Response response;
  response.status = http_status(error.code());
  auto node = wire::Node::map();
  node.add("error", wire::Node::string(error.text()));
  response.body = wire::write_json_line(node);
  return response;
}

bool is_local(std::string_view address) {
  return address == "unix" || address == "::1" || address.starts_with("127.");
}

Result<void> apply(const http::Request& request, HubLink* hub) {
  if (hub == nullptr) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-048",
                 "this agent has no hub; add 'hub' with an enrolment file to its configuration: bundles are checked "
                 "against the keys that it names");
  }
  // It names a file of this machine: for those who are on it.
  if (!is_local(request.remote_address)) {
    return Error(ErrorCode::permission_denied, "VRG-AGT-049",
                 "expected a call from this machine, got one from elsewhere; run 'verge bundle apply' on the device");
  }
  const std::string_view text(reinterpret_cast<const char*>(request.body.data()), request.body.size());
  VERGE_ASSIGN(const wire::Node node, wire::parse_json(text, "the request"));
  VERGE_ASSIGN(const auto carried, wire::read_carried_bundle(node, wire::Place("the request")));
  return hub->apply_bundle(carried.file);
}

}  // namespace

std::optional<http::Response> answer_bundle(const http::Request& request, HubLink* hub) {
  if (request.path != "/bundle") return std::nullopt;
  if (request.method != "POST") {
    return answer_with(Error(ErrorCode::invalid_argument, "VRG-AGT-050",
                             fmt::format("expected POST to /bundle, got {}", request.method)));
  }
  const auto applied = apply(request, hub);
  if (!applied) return answer_with(applied.error());
  http::Response response;
  response.status = 202;
  response.body = hub->status_json();
  return response;
}

}  // namespace verge::agent
