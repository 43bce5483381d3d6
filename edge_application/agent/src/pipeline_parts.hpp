// Pipeline parts: sources and sinks as the configuration describes them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spools.hpp"
#include "verge/pipeline/preview.hpp"
#include "verge/pipeline/runner.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Errors: invalid_argument (VRG-AGT-030: models that are named twice, or crops of what is not before them).
Result<void> check_pipeline(const wire::PipelineEntry& entry, std::string_view origin);

[[nodiscard]] pipeline::Plan plan_of(const wire::PipelineEntry& entry);

struct OpenedSource {
  std::unique_ptr<pipeline::Source> source;
  std::shared_ptr<pipeline::SampleQueue> inbox;  ///< Of a source that is sent its samples; else null.
  bool reconnects = false;                       ///< `connection` is told.
};
/// Errors: those of the source; VRG-AGT-031 a file with credentials cannot be read.
Result<OpenedSource> open_source(const wire::PipelineEntry& entry, const pipeline::Connection& connection);

struct OpenedSinks {
  std::vector<std::unique_ptr<pipeline::Sink>> sinks;
  std::shared_ptr<pipeline::Preview> preview;  ///< Null: there is none.
};
/// Errors: those of the sinks and of Spools::open(); VRG-AGT-031; failed_precondition (VRG-AGT-090 a sink wants a
/// spool, and `spools` is null).
Result<OpenedSinks> open_sinks(const wire::PipelineEntry& entry, const pipeline::OnSinkError& on_error, Spools* spools);
/// Whether events of the sink, or of one of the pipeline's, are kept in a spool.
[[nodiscard]] bool wants_spool(const wire::Sink& sink);
[[nodiscard]] bool wants_spool(const wire::PipelineEntry& entry);

/// "camera", "stream", …
[[nodiscard]] std::string_view kind_of(const wire::Source& source);
[[nodiscard]] std::string_view kind_of(const wire::Sink& sink);

}  // namespace verge::agent
