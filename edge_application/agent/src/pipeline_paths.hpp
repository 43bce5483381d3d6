// Pipeline paths: /pipelines of the agent's API.
#pragma once

#include <optional>
#include <string_view>

#include "serving.hpp"
#include "verge/http/server.hpp"

namespace verge::agent {

/// GET /pipelines[/NAME] (a page for browsers, else JSON), GET …/preview.mjpeg and …/preview.jpg, POST …/samples.
/// Nothing for other paths. Errors: VRG-AGT-032 no such pipeline, 033 it has no preview, 034 it is sent no samples, 035
/// its queue is full.
[[nodiscard]] std::optional<http::Response> answer_pipelines(const http::Request& request, const Serving& serving);

/// The page, which asks for the rest by itself.
[[nodiscard]] std::string_view pipelines_page();

}  // namespace verge::agent
