// Manifests: what a pushed manifest names, and whether it is a version of a model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core.hpp"

namespace verge::hub {

struct ParsedManifest {
  ManifestRecord record;               ///< Without its repository.
  std::vector<std::string> blobs;      ///< Config and layers.
  std::vector<std::string> manifests;  ///< Of an index.
  std::string kind;                    ///< "model" or "agent": a package of Verge; empty: something else.
  bool all_sha256 = true;              ///< Its own digest, and those of all blobs.
  std::string content;
};

/// `media_type`: of the request, its parameters ignored; empty: the manifest's own. `algorithm`: of the manifest's
/// digest. Errors: invalid_argument (VRG-OCI-006), resource_exhausted (VRG-OCI-014).
Result<ParsedManifest> parse_manifest(const std::string& content, const std::string& media_type,
                                      crypto::DigestAlgorithm algorithm);

/// The version of a model or of the agent that the manifest is; nothing when it is known already. `tag` empty: pushed
/// by digest, which makes no version. Errors: VRG-HUB-022, 023, 024 and those of the documents.
Result<std::optional<VersionRecord>> judge_package(Core& core, Transaction& store, const ParsedManifest& manifest,
                                                   const std::string& tag);

}  // namespace verge::hub
