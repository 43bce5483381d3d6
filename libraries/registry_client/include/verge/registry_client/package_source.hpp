// Package source: a package folder as the artifact that 'verge package create' makes of it.
#pragma once

#include <memory>

#include "verge/package/model_package.hpp"
#include "verge/registry_client/artifact_store.hpp"

namespace verge::registry_client {

/// One artifact, whatever it is asked for by, with the package's files as its blobs.
[[nodiscard]] std::unique_ptr<ArtifactSource> make_package_source(package::ModelPackage package);

}  // namespace verge::registry_client
