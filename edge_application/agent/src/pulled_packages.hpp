// Pulled packages: what the configuration names in registries, kept in the state directory as an image
// layout, whose blobs are encrypted where the state directory is.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "at_rest.hpp"
#include "verge/base/error.hpp"
#include "verge/registry_client/layout.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Whether a model's package is named so: "oci://…".
[[nodiscard]] bool is_pulled(std::string_view package);
/// Errors: invalid_argument (VRG-REG-001 not a reference, VRG-AGT-002 no state directory).
Result<void> check_pulled(const wire::EdgeConfig& configuration, std::string_view origin);

/// Packages are named as the configuration does. Used by one thread at a time.
class PulledPackages {
 public:
  /// `at_rest`: of a state directory that is encrypted, else null; it must outlive the object.
  PulledPackages(const std::filesystem::path& state_directory, std::string version, AtRest* at_rest);

  /// The digest of what is there for the package, all of it whole.
  [[nodiscard]] std::optional<std::string> present(const std::string& package) const;
  /// A name for it that Serving can open, until keep() no longer names it; in memory, where the disk is encrypted.
  /// Errors: those of decrypt_into().
  Result<std::string> open(const std::string& digest);
  /// Fetches what the package is now, beside what is there; its digest. Errors: those of registry_client;
  /// data_loss (VRG-PKG-014 not a model package).
  Result<std::string> pull(const std::string& package, const wire::PackageRegistry& registry,
                           const std::stop_token& stop);
  /// What was pulled is what present() gives from now on.
  Result<void> take(const std::string& package, const std::string& digest);
  /// Forgets all but these packages, and what was pulled and not taken.
  Result<void> keep(const std::vector<std::string>& packages);

 private:
  [[nodiscard]] Result<std::unique_ptr<registry_client::ArtifactStore>> layout() const;
  Result<std::filesystem::path> scratch();

  std::filesystem::path folder_;
  std::string version_;
  AtRest* at_rest_;
  std::shared_ptr<registry_client::Blobs> blobs_;
  std::map<std::string, at_rest::MemoryFolder> open_;  ///< By digest.
  std::optional<at_rest::MemoryFolder> incoming_;
};

}  // namespace verge::agent
