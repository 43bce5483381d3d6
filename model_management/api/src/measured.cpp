// Routes of the policy about what devices must have booted, and with whose TPM.
#include "handlers.hpp"

namespace verge::hub {

http::Response handle_measured(Hub& hub, RouteName route, const Call& call) {
  if (route == RouteName::get_measured_policy) return answer(call.status, hub.measured_policy(call.caller));
  if (route == RouteName::create_measured_pin) {
    const auto pin = body_of<wire::MeasuredPin>(call.request, wire::read_measured_pin);
    if (!pin) return error_answer(pin.error());
    return answer(call.status, hub.pin_measured(call.caller, *pin));
  }
  if (route == RouteName::get_endorsement_authorities) {
    return answer(call.status, hub.endorsement_authorities(call.caller));
  }
  if (route == RouteName::set_endorsement_authorities) {
    const auto wanted = body_of<wire::EndorsementAuthorities>(call.request, wire::read_endorsement_authorities);
    if (!wanted) return error_answer(wanted.error());
    return answer(call.status, hub.set_endorsement_authorities(call.caller, *wanted));
  }
  const auto policy = body_of<wire::MeasuredPolicy>(call.request, wire::read_measured_policy);
  if (!policy) return error_answer(policy.error());
  return answer(call.status, hub.set_measured_policy(call.caller, *policy));
}

}  // namespace verge::hub
