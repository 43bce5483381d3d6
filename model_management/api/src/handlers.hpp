// Handlers: one group of routes each. The answer is nothing when the route is not theirs.
#pragma once

#include <optional>

#include "answers.hpp"
#include "route_table.hpp"

namespace verge::hub {

http::Response handle_document(Hub& hub, RouteName route, const Call& call);
http::Response handle_device(Hub& hub, RouteName route, const Call& call);
http::Response handle_trust(Hub& hub, RouteName route, const Call& call);
http::Response handle_registry(Hub& hub, const Call& call);
/// An error in the registry's form.
http::Response registry_error(const Error& error);

}  // namespace verge::hub
