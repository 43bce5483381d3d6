// Place: where packages come from and go to, as people write it: a registry's repository or an image layout.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "verge/base/error.hpp"
#include "verge/registry_client/registry.hpp"

namespace verge::cli {

/// How a registry is reached, and as whom.
struct AccessOptions {
  std::string username, credentials_file, ca_file, proxy;
  bool password_stdin = false, plain_http = false;
  std::uint64_t chunk_bytes = 0;
};
/// Adds them to a verb, their names behind "--" and `prefix`.
void add_access_options(CLI::App& verb, AccessOptions& options, const std::string& prefix = "");

/// A registry's repository, asked as the options say; else as 'verge login' to this very hub, else as the credentials
/// file says. Errors: invalid_argument (VRG-CLI-070 options that contradict each other), as open_repository().
Result<std::unique_ptr<registry_client::ArtifactStore>> open_registry(const registry_client::Reference& reference,
                                                                      const AccessOptions& options);

/// A place with what is meant in it.
struct Place {
  std::unique_ptr<registry_client::ArtifactStore> store;
  std::string wanted;            ///< Tag or digest; empty: none was named.
  std::string digest;            ///< When one was named.
  std::filesystem::path layout;  ///< Empty for a registry.
};
/// "oci:FOLDER[:TAG][@DIGEST]", or a registry's reference. Errors: as open_registry() and open_layout().
Result<Place> open_place(const std::string& text, const AccessOptions& options);

}  // namespace verge::cli
