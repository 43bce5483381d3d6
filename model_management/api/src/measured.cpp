// Routes of the policy about what devices must have booted.
#include "handlers.hpp"

namespace verge::hub {

http::Response handle_measured(Hub& hub, RouteName route, const Call& call) {
  if (route == RouteName::get_measured_policy) return answer(call.status, hub.measured_policy(call.caller));
  if (route == RouteName::create_measured_pin) {
    const auto pin = body_of<wire::MeasuredPin>(call.request, wire::read_measured_pin);
    if (!pin) return error_answer(pin.error());
    return answer(call.status, hub.pin_measured(call.caller, *pin));
  }
  const auto policy = body_of<wire::MeasuredPolicy>(call.request, wire::read_measured_policy);
  if (!policy) return error_answer(policy.error());
  return answer(call.status, hub.set_measured_policy(call.caller, *policy));
}

}  // namespace verge::hub
