// Push: a model package into a registry, by the OCI distribution specification.
#pragma once

#include <string>

#include "session.hpp"
#include "verge/package/model_package.hpp"

namespace verge::cli {

struct Pushed {
  std::string digest;
  std::uint64_t sent_bytes = 0;
  std::uint64_t present_bytes = 0;  ///< Of blobs that were there already.
};

/// Sends the blobs that the registry has not, then the manifest under the package's version.
Result<Pushed> push_package(HubSession& hub, const package::ModelPackage& package, Progress& progress);

}  // namespace verge::cli
