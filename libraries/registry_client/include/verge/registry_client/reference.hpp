// Reference: what people write to name an artifact in a registry.
#pragma once

#include <string>
#include <string_view>

#include "verge/base/error.hpp"

namespace verge::registry_client {

struct Reference {
  std::string registry;    ///< Host, with its port when it is not the scheme's: "ghcr.io", "localhost:5000".
  std::string repository;  ///< "team/cat"
  std::string tag;         ///< Empty when none was written.
  std::string digest;      ///< "sha256:…"; empty when none was written. It counts before the tag.

  /// Digest, else tag, else "latest".
  [[nodiscard]] std::string wanted() const;
  /// As people write it.
  [[nodiscard]] std::string text() const;
};

/// "ghcr.io/team/cat:1.0.0", "localhost:5000/a/b@sha256:…". The registry is never left out. Errors: invalid_argument
/// (VRG-REG-001).
Result<Reference> parse_reference(std::string_view text);

}  // namespace verge::registry_client
