// Errors as the OCI distribution specification has them.
#include <algorithm>
#include <array>

#include "handlers.hpp"

namespace verge::hub {
namespace {

struct Code {
  std::string_view id;
  std::string_view code;
  int status;
};
constexpr std::array<Code, 20> kCodes{{{"VRG-OCI-001", "BLOB_UNKNOWN", 404},
                                       {"VRG-OCI-002", "BLOB_UPLOAD_UNKNOWN", 404},
                                       {"VRG-OCI-003", "BLOB_UPLOAD_INVALID", 416},
                                       {"VRG-OCI-004", "DIGEST_INVALID", 400},
                                       {"VRG-OCI-005", "MANIFEST_UNKNOWN", 404},
                                       {"VRG-OCI-006", "MANIFEST_INVALID", 400},
                                       {"VRG-OCI-007", "MANIFEST_BLOB_UNKNOWN", 404},
                                       {"VRG-OCI-008", "NAME_UNKNOWN", 404},
                                       {"VRG-OCI-010", "NAME_INVALID", 400},
                                       {"VRG-OCI-011", "MANIFEST_INVALID", 400},
                                       {"VRG-OCI-012", "DENIED", 403},
                                       {"VRG-OCI-013", "SIZE_INVALID", 400},
                                       {"VRG-OCI-014", "MANIFEST_INVALID", 413},
                                       {"VRG-OCI-015", "DENIED", 507},
                                       {"VRG-OCI-017", "SIZE_INVALID", 413},
                                       {"VRG-HUB-003", "BLOB_UNKNOWN", 404},
                                       {"VRG-HUB-004", "DIGEST_INVALID", 400},
                                       {"VRG-HUB-040", "UNSUPPORTED", 400},
                                       {"VRG-HUB-041", "SIZE_INVALID", 416},
                                       {"VRG-HUB-044", "UNSUPPORTED", 404}}};

std::string_view code_of(ErrorCode kind) {
  switch (kind) {
    case ErrorCode::unauthenticated: return "UNAUTHORIZED";
    case ErrorCode::permission_denied:
    case ErrorCode::already_exists:
    case ErrorCode::failed_precondition:
    case ErrorCode::resource_exhausted: return "DENIED";
    case ErrorCode::unimplemented: return "UNSUPPORTED";
    case ErrorCode::aborted: return "BLOB_UPLOAD_INVALID";
    case ErrorCode::unavailable: return "TOOMANYREQUESTS";
    default: return "MANIFEST_INVALID";
  }
}

}  // namespace

http::Response registry_error(const Error& error) {
  const auto* found = std::ranges::find(kCodes, error.id(), &Code::id);
  const bool known = found != kCodes.end();
  auto item = wire::Node::map();
  item.add("code", wire::Node::string(known ? found->code : code_of(error.code())));
  item.add("message", wire::Node::string(error.text()));
  auto list = wire::Node::list();
  list.items.push_back(std::move(item));
  auto body = wire::Node::map();
  body.add("errors", std::move(list));
  auto response = document(known ? found->status : http_status(error.code()), body);
  if (response.status == 401) {
    response.headers = {{"WWW-Authenticate", "Basic realm=\"verge\""}, {std::string(kApiVersion), "registry/2.0"}};
  }
  return response;
}

}  // namespace verge::hub
