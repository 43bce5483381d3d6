// References: what names a blob or a manifest in a request.
#pragma once

#include <string_view>

#include "verge/base/error.hpp"

namespace verge::hub {

/// Errors: invalid_argument (VRG-OCI-004) unless it is a digest by sha256 or sha512.
Result<void> check_digest(std::string_view digest);
/// As the distribution specification has it; answers name the tag in their headers. Errors: invalid_argument
/// (VRG-OCI-011).
Result<void> check_tag(std::string_view tag);
/// Whether it is meant as a digest: no tag has a colon.
[[nodiscard]] inline bool names_digest(std::string_view reference) noexcept {
  return reference.find(':') != std::string_view::npos;
}

}  // namespace verge::hub
