// OCI index: what is common to those who read and write index.json and manifests of an image layout.
#pragma once

#include <string>
#include <string_view>

#include "verge/wire/document.hpp"

namespace verge::package {

inline constexpr std::string_view kLayoutFile = "oci-layout";
inline constexpr std::string_view kIndexFile = "index.json";
inline constexpr std::string_view kIndexMediaType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kTagAnnotation = "org.opencontainers.image.ref.name";
inline constexpr std::string_view kTitleAnnotation = "org.opencontainers.image.title";

/// The member `key` of a map; empty when there is none, or no text.
[[nodiscard]] std::string text_of(const wire::Node& node, std::string_view key);
/// The same of the map "annotations" in it.
[[nodiscard]] std::string annotation(const wire::Node& node, std::string_view key);
/// An index with an empty list "manifests".
[[nodiscard]] wire::Node new_index();

}  // namespace verge::package
