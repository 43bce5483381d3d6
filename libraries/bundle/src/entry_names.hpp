// Entry names: where things lie in a bundle.
#pragma once

#include <string>
#include <string_view>

namespace verge::bundle {

inline constexpr std::string_view kDescription = "bundle.json";
inline constexpr std::string_view kMetadata = "metadata/";
inline constexpr std::string_view kBlobs = "blobs/sha256/";
inline constexpr std::string_view kLayout = "oci-layout";
inline constexpr std::string_view kIndex = "index.json";

/// Of "sha256:<hex>".
inline std::string blob_entry(std::string_view digest) {
  return std::string(kBlobs) + std::string(digest.substr(digest.find(':') + 1));
}

}  // namespace verge::bundle
