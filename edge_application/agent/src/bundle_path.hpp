// Bundle path: POST /bundle, by which whoever is at the device hands it a bundle.
#pragma once

#include <optional>

#include "hub_link.hpp"
#include "verge/http/server.hpp"

namespace verge::agent {

/// Nothing for other paths. `hub`: null when the agent has none.
std::optional<http::Response> answer_bundle(const http::Request& request, HubLink* hub);

}  // namespace verge::agent
