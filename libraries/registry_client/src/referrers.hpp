// Referrers: what is about an artifact, by the registry's own list or by the tag that stands in for it.
#pragma once

#include <string>
#include <vector>

#include "session.hpp"
#include "verge/registry_client/artifact.hpp"

namespace verge::registry_client {

/// None is no error.
Result<std::vector<Descriptor>> list_referrers(Session& session, const std::string& digest);
/// Enters an artifact into the tag that stands in for the list of its subject's referrers, for a registry that keeps no
/// such list.
Result<void> enter_referrer(Session& session, const Artifact& artifact);

/// Of a manifest's media type, for "Accept".
inline constexpr std::string_view kManifestTypes =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json";

}  // namespace verge::registry_client
