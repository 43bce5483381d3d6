// Handlers: one group of routes each. The answer is nothing when the route is not theirs.
#pragma once

#include <optional>

#include "answers.hpp"
#include "route_table.hpp"

namespace verge::hub {

http::Response handle_document(Hub& hub, RouteName route, const Call& call);
http::Response handle_device(Hub& hub, RouteName route, const Call& call);
http::Response handle_signing(Hub& hub, RouteName route, const Call& call);
http::Response handle_measured(Hub& hub, RouteName route, const Call& call);
http::Response handle_telemetry(Hub& hub, RouteName route, const Call& call);
http::Response handle_trust(Hub& hub, RouteName route, const Call& call);
http::Response handle_registry(Hub& hub, const Call& call);
struct RegistryPlace;
http::Response handle_upload(Hub& hub, const Call& call, const RegistryPlace& place);
http::Response handle_blob(Hub& hub, const Call& call, const RegistryPlace& place);
/// An error in the registry's form.
http::Response registry_error(const Error& error);
/// Header by which older clients know a registry.
inline constexpr std::string_view kApiVersion = "Docker-Distribution-API-Version";

}  // namespace verge::hub
