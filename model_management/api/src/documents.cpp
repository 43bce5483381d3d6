// Routes for people and programs: a document in, a document out.

#include "handlers.hpp"
#include "verge/hub/registry.hpp"
#include "verge/wire/hub_time.hpp"

namespace verge::hub {
namespace {

/// Reads the body and hands it on.
template <typename T, typename Read, typename Work>
http::Response with_body(const Call& call, Read read, Work work) {
  const auto body = body_of<T>(call.request, read);
  if (!body) return error_answer(body.error());
  return answer(call.status, work(*body));
}

http::Response time_now(Hub& hub) {
  wire::HubTime time;
  time.time_ms = hub.now_ms();
  return document(200, wire::to_node(time));
}

http::Response create_enrolment(Hub& hub, const Call& call) {
  return with_body<wire::EnrolmentRequest>(call, wire::read_enrolment_request,
                                           [&](const auto& body) -> Result<wire::Enrolment> {
                                             VERGE_ASSIGN(const auto url, reached_url(call.request));
                                             return hub.create_enrolment(call.caller, body, url);
                                           });
}

http::Response add_application(Hub& hub, const Call& call) {
  const auto body = body_of<wire::Application>(call.request, wire::read_application);
  if (!body) return error_answer(body.error());
  const auto made = hub.add_application(call.caller, *body);
  if (!made) return error_answer(made.error());
  return document(made->added ? 201 : 200, wire::to_node(made->info));
}

http::Response deploy(Hub& hub, const Call& call) {
  const auto body = body_of<wire::DeploymentRequest>(call.request, wire::read_deployment_request);
  if (!body) return error_answer(body.error());
  return answer(body->dry_run ? 200 : 201, hub.deploy(call.caller, *body));
}

http::Response select(Hub& hub, const Call& call, bool removal) {
  const auto body = body_of<wire::ApplicationSelection>(call.request, wire::read_application_selection);
  if (!body) return error_answer(body.error());
  return answer(body->dry_run ? 200 : 201, removal ? hub.remove(call.caller, *body) : hub.rollback(call.caller, *body));
}

http::Response list_deployments(Hub& hub, const Call& call) {
  const auto limit = call.number("limit", 100, 1, 1000);
  if (!limit) return error_answer(limit.error());
  return answer(call.status, hub.deployments(call.caller, call.parameter("application"), *limit));
}

http::Response list_events(Hub& hub, const Call& call) {
  const auto limit = call.number("limit", 100, 1, 1000);
  const auto after = call.number("after", 0, 0, std::int64_t{1} << 53);
  if (!limit) return error_answer(limit.error());
  if (!after) return error_answer(after.error());
  return answer(call.status, hub.events(call.caller, *after, *limit));
}

http::Response apply_fleet(Hub& hub, const Call& call) {
  return with_body<wire::Fleet>(call, wire::read_fleet,
                                [&](const auto& body) { return hub.apply(call.caller, body, call.flag("dry_run")); });
}

}  // namespace

http::Response handle_document(Hub& hub, RouteName route, const Call& call) {
  const auto& caller = call.caller;
  const auto status = call.status;
  switch (route) {
    case RouteName::get_status: return answer(status, hub.status(caller));
    case RouteName::get_time: return time_now(hub);
    case RouteName::create_token:
      return with_body<wire::TokenRequest>(call, wire::read_token_request,
                                           [&](const auto& body) { return hub.create_token(caller, body); });
    case RouteName::list_tokens: return answer(status, hub.list_tokens(caller));
    case RouteName::delete_token: return answer(status, hub.delete_token(caller, call.at("id")));
    case RouteName::create_enrolment: return create_enrolment(hub, call);
    case RouteName::list_enrolments: return answer(status, hub.list_enrolments(caller));
    case RouteName::create_certificate:
      return with_body<wire::CertificateRequest>(call, wire::read_certificate_request, [&](const auto& body) {
        return hub.certificate(body, std::string(call.request.remote_address));
      });
    case RouteName::list_devices: return answer(status, hub.devices(caller, call.parameter("selector")));
    case RouteName::get_device: return answer(status, hub.device(caller, call.at("device")));
    case RouteName::revoke_device: return answer(status, hub.revoke(caller, call.at("device")));
    case RouteName::set_device_labels:
      return with_body<wire::DeviceLabels>(call, wire::read_device_labels, [&](const auto& body) {
        return hub.set_labels(caller, call.at("device"), body);
      });
    case RouteName::resolve_device: return answer(status, hub.resolve(caller, call.at("device")));
    case RouteName::list_models: return answer(status, hub.models(caller));
    case RouteName::get_model: return answer(status, hub.model(caller, call.at("model")));
    case RouteName::delete_model_version:
      return answer(status, hub.delete_model_version(caller, call.at("model"), call.at("version")));
    case RouteName::set_floor:
      return with_body<wire::VersionFloor>(call, wire::read_version_floor, [&](const auto& body) {
        return hub.set_floor(caller, call.at("model"), body);
      });
    case RouteName::create_application: return add_application(hub, call);
    case RouteName::list_applications: return answer(status, hub.applications(caller));
    case RouteName::get_application: return answer(status, hub.application(caller, call.at("application")));
    case RouteName::create_deployment: return deploy(hub, call);
    case RouteName::list_deployments: return list_deployments(hub, call);
    case RouteName::get_deployment: return answer(status, hub.deployment(caller, call.at("deployment")));
    case RouteName::explain_deployment:
      return answer(status, hub.explain(caller, call.at("deployment"), call.at("device")));
    case RouteName::rollback_deployment: return answer(status, hub.rollback_deployment(caller, call.at("deployment")));
    case RouteName::create_rollback: return select(hub, call, false);
    case RouteName::create_removal: return select(hub, call, true);
    case RouteName::get_freeze: return answer(status, hub.freeze(caller));
    case RouteName::set_freeze:
      return with_body<wire::FleetFreeze>(call, wire::read_fleet_freeze,
                                          [&](const auto& body) { return hub.set_freeze(caller, body); });
    case RouteName::apply_fleet: return apply_fleet(hub, call);
    case RouteName::get_registry: return answer(status, hub.registry().usage(caller));
    case RouteName::collect_garbage:
      return answer(status, hub.registry().collect_garbage(caller, call.flag("dry_run"), call.flag("untagged")));
    case RouteName::list_events: return list_events(hub, call);
    case RouteName::get_trust:
    case RouteName::list_trust_changes:
    case RouteName::create_trust_key:
    case RouteName::put_trust_file:
    case RouteName::delete_trust_files:
    case RouteName::publish_trust: return handle_signing(hub, route, call);
    case RouteName::get_measured_policy:
    case RouteName::set_measured_policy:
    case RouteName::create_measured_pin:
    case RouteName::get_endorsement_authorities:
    case RouteName::set_endorsement_authorities: return handle_measured(hub, route, call);
    case RouteName::put_telemetry:
    case RouteName::get_device_telemetry: return handle_telemetry(hub, route, call);
    case RouteName::put_report:
    case RouteName::get_desired:
    case RouteName::get_device_blob:
    case RouteName::get_package_deltas: return handle_device(hub, route, call);
    case RouteName::get_tuf_metadata:
    case RouteName::get_tuf_target:
    case RouteName::get_openapi:
    case RouteName::get_page: return handle_trust(hub, route, call);
    case RouteName::oci_token: break;  // Answered by whoever keeps the tokens.
    case RouteName::oci_get:
    case RouteName::oci_head:
    case RouteName::oci_post:
    case RouteName::oci_patch:
    case RouteName::oci_put:
    case RouteName::oci_delete: return handle_registry(hub, call);
  }
  return error_answer(Error(ErrorCode::internal, "VRG-HUB-043", "a route without a handler"));
}

}  // namespace verge::hub
