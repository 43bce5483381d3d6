// Places: what a path under /v2/ names.
#pragma once

#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/http/server.hpp"

namespace verge::hub {

struct RegistryPlace {
  std::string repository;
  std::string_view kind;  ///< "blobs", "uploads", "manifests", "tags", "referrers"
  std::string name;       ///< Digest, tag or upload; empty for a new upload.
};

/// `path` behind /v2/, decoded. Errors: not_found (VRG-HUB-044 no such place), invalid_argument (VRG-OCI-010 not a
/// repository).
Result<RegistryPlace> parse_registry_place(const std::string& path);
/// What methods it takes: "GET, HEAD".
[[nodiscard]] std::string_view methods_of(const RegistryPlace& place);
/// The repository that a blob's content is being sent to; empty for any other request.
[[nodiscard]] std::string pushed_repository(const http::Request& head);

}  // namespace verge::hub
