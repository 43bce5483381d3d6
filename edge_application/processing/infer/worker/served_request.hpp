// Served request: one request of the agent's, in the process of the engine.
#pragma once

#include <string>

#include "channel.hpp"
#include "verge/base/error.hpp"
#include "verge/processing/engine.hpp"

namespace verge::processing::isolation {

/// Answers until the other side closes the channel. `context` is what errors of this session begin with; the agent puts
/// its own in front.
void serve_request(Channel channel, Session& session, const std::string& context);

/// An error as the ABI tells it.
[[nodiscard]] verge_engine_status status_of(const Error& error) noexcept;
[[nodiscard]] std::string reason_of(const Error& error, const std::string& context);

}  // namespace verge::processing::isolation
