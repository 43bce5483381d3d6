// Download: a blob into a file, gone on with where it broke off, checked against its digest and size.
#pragma once

#include <filesystem>

#include "session.hpp"
#include "verge/registry_client/artifact_store.hpp"

namespace verge::registry_client {

/// The file is `scratch`/ALGORITHM_HEX, and durable. Errors: as ArtifactSource::fetch().
Result<std::filesystem::path> download_blob(Session& session, const Descriptor& blob,
                                            const std::filesystem::path& scratch, const Progress& progress);

}  // namespace verge::registry_client
