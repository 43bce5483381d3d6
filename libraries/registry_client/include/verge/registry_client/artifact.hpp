// Artifact: a manifest or an index of the OCI image specification, and what it names, of whatever kind it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::registry_client {

/// Limits that hold for every artifact, whoever made it.
inline constexpr std::uint64_t kManifestLimitBytes = std::uint64_t{4} << 20U;  // As registries do.
inline constexpr std::uint64_t kBlobLimitBytes = std::uint64_t{64} << 30U;
inline constexpr std::size_t kDescriptorLimit = 4096;

struct Descriptor {
  std::string media_type;
  std::string digest;
  std::uint64_t size_bytes = 0;
  std::string artifact_type;  ///< Of a manifest; may be empty.
  std::string file_path;      ///< The file in the package, for people; may be empty.
};

struct Artifact {
  std::string content;  ///< Byte for byte: its digest is that of these.
  std::string digest;
  std::string media_type;
  std::string artifact_type;            ///< The config's media type when it names none; may be empty.
  std::string title;                    ///< The annotation of that name; may be empty.
  std::vector<Descriptor> blobs;        ///< Config and layers, each once.
  std::vector<Descriptor> manifests;    ///< Of an index, each once.
  std::optional<Descriptor> subject;    ///< What it is about.
  std::string annotations_json = "{}";  ///< On one line.
};

/// `media_type` as it came with it; `digest`: what its bytes must have, or empty for the digest by sha256; `origin`
/// names it in messages. Errors: data_loss (VRG-REG-007 another digest, 008 not a manifest, or past the limits).
Result<Artifact> parse_artifact(std::string content, std::string_view media_type, std::string_view digest,
                                std::string_view origin);

/// Descriptors that an index lists, such as one of referrers; nothing is said about its digest. Errors: data_loss
/// (VRG-REG-008).
Result<std::vector<Descriptor>> parse_index(std::string_view content, std::string_view origin);

}  // namespace verge::registry_client
