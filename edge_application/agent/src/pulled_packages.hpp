// Pulled packages: what the configuration names in registries, kept in the state directory as an image layout.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Whether a model's package is named so: "oci://…".
[[nodiscard]] bool is_pulled(std::string_view package);
/// Errors: invalid_argument (VRG-REG-001 not a reference, VRG-AGT-002 no state directory, VRG-AGT-070 a state directory
/// that is encrypted).
Result<void> check_pulled(const wire::EdgeConfig& configuration, std::string_view origin);

/// Packages are named as the configuration does. Used by one thread at a time.
class PulledPackages {
 public:
  PulledPackages(const std::filesystem::path& state_directory, std::string version)
      : folder_(state_directory / "registry"), version_(std::move(version)) {}

  /// The digest of what is there for the package, all of it whole.
  [[nodiscard]] std::optional<std::string> present(const std::string& package) const;
  /// As Serving opens it.
  [[nodiscard]] std::string path_of(const std::string& digest) const;
  /// Fetches what the package is now, beside what is there; its digest. Errors: those of registry_client;
  /// data_loss (VRG-PKG-014 not a model package).
  Result<std::string> pull(const std::string& package, const wire::PackageRegistry& registry,
                           const std::stop_token& stop);
  /// What was pulled is what present() gives from now on.
  Result<void> take(const std::string& package, const std::string& digest);
  /// Forgets all but these packages, and what was pulled and not taken.
  Result<void> keep(const std::vector<std::string>& packages);

 private:
  std::filesystem::path folder_;
  std::string version_;
};

}  // namespace verge::agent
