// Copy: an artifact with everything it names, from one place to another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "verge/base/error.hpp"
#include "verge/registry_client/artifact_store.hpp"

namespace verge::registry_client {

struct CopyOptions {
  bool referrers = false;         ///< Takes along what is about it: deltas, signatures, and what is about those.
  std::filesystem::path scratch;  ///< Folder for blobs on their way.
  Progress progress = [](std::string_view, std::uint64_t, std::uint64_t) {};
};

struct CopyReport {
  std::string digest;
  std::string media_type;
  std::uint64_t manifests = 0;      ///< Written, referrers included.
  std::uint64_t referrers = 0;      ///< Of them.
  std::uint64_t sent_bytes = 0;     ///< Of blobs that went through here.
  std::uint64_t present_bytes = 0;  ///< Of blobs that were there, or that the registry took from another repository.
};

/// Blobs first, then what names them: a reader finds all of it or nothing. `reference`: tag or digest; `tag` empty: by
/// digest only. Errors: those of both places; resource_exhausted (VRG-REG-012 it names too much).
Result<CopyReport> copy(ArtifactSource& from, const std::string& reference, ArtifactStore& to, const std::string& tag,
                        const CopyOptions& options);
/// The same for an artifact that has been asked for.
Result<CopyReport> copy(ArtifactSource& from, const Artifact& artifact, ArtifactStore& to, const std::string& tag,
                        const CopyOptions& options);

}  // namespace verge::registry_client
