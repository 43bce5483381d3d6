// Routes of trust whose keys are elsewhere: what waits for a signature, and what was signed.
#include "verge/hub/signing.hpp"
#include "handlers.hpp"

namespace verge::hub {

http::Response handle_signing(Hub& hub, RouteName route, const Call& call) {
  auto& signing = hub.signing();
  switch (route) {
    case RouteName::list_trust_changes: {
      const auto limit = call.number("limit", Signing::kMostChanges, 1, Signing::kMostChanges);
      if (!limit) return error_answer(limit.error());
      return answer(call.status, signing.changes(call.caller, call.parameter("after"), *limit));
    }
    case RouteName::create_trust_key: return answer(call.status, signing.next_key(call.caller, call.at("role")));
    case RouteName::put_trust_file: {
      const std::string_view text(reinterpret_cast<const char*>(call.request.body.data()), call.request.body.size());
      return answer(call.status, signing.put(call.caller, call.at("file"), text));
    }
    case RouteName::delete_trust_files: return answer(call.status, signing.forget(call.caller));
    case RouteName::publish_trust: return answer(call.status, signing.publish(call.caller, call.flag("adopt")));
    default: return answer(call.status, signing.status(call.caller));
  }
}

}  // namespace verge::hub
