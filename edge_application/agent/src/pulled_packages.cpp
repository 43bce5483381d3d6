#include "pulled_packages.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/registry_client/copy.hpp"
#include "verge/registry_client/layout.hpp"
#include "verge/registry_client/registry.hpp"

namespace verge::agent {
namespace {

constexpr std::string_view kScheme = "oci://";
constexpr std::uint64_t kPemLimitBytes = 1U << 20U;

Result<registry_client::Reference> reference_of(std::string_view package) {
  return registry_client::parse_reference(package.substr(std::min(kScheme.size(), package.size())));
}

Result<registry_client::RegistryOptions> options_for(const registry_client::Reference& reference,
                                                     const wire::PackageRegistry& registry) {
  registry_client::RegistryOptions options;
  options.attempts = 2;  // The whole pull is tried again, for as long as it takes.
  options.plain_http = std::ranges::find(registry.plain_http, reference.registry) != registry.plain_http.end();
  options.max_download_bytes_per_s = static_cast<std::uint64_t>(registry.max_bytes_per_s.value_or(0));
  if (registry.credentials) {
    VERGE_ASSIGN(options.credentials, registry_client::read_credentials(*registry.credentials, reference.registry));
  }
  if (registry.ca_certificate) {
    VERGE_ASSIGN(options.ca_certificate, read_text(*registry.ca_certificate, kPemLimitBytes));
  }
  if (registry.proxy) {
    options.proxy = registry.proxy->url;
    if (registry.proxy->ca_certificate) {
      VERGE_ASSIGN(options.proxy_ca_certificate, read_text(*registry.proxy->ca_certificate, kPemLimitBytes));
    }
  }
  return options;
}

}  // namespace

bool is_pulled(std::string_view package) {
  return package.starts_with(kScheme);
}

Result<void> check_pulled(const wire::EdgeConfig& configuration, std::string_view origin) {
  for (const auto& model : configuration.models) {
    if (!is_pulled(model.package)) continue;
    const auto place = fmt::format("{} line {}", origin, model.line);
    if (auto reference = reference_of(model.package); !reference) return in(place, std::move(reference));
    if (!configuration.state_directory) {
      return Error(
          ErrorCode::invalid_argument, "VRG-AGT-002",
          fmt::format("{}: a package in a registry needs a 'state_directory', where it is kept; add one", place));
    }
    if (configuration.at_rest && configuration.at_rest->key != wire::AtRestKey::none) {
      return Error(ErrorCode::invalid_argument, "VRG-AGT-070",
                   fmt::format("{}: expected a package in a folder, got '{}': what comes from a registry would lie "
                               "unencrypted in a state directory that 'at_rest' encrypts; have a hub deploy it",
                               place, model.package));
    }
  }
  return {};
}

std::string PulledPackages::path_of(const std::string& digest) const {
  return folder_.string() + "@" + digest;
}

std::optional<std::string> PulledPackages::present(const std::string& package) const {
  if (!package::is_layout(folder_)) return std::nullopt;
  const auto entries = package::list_layout(folder_);
  if (!entries) return std::nullopt;
  const auto found = std::ranges::find(*entries, package, &package::LayoutEntry::tag);
  if (found == entries->end() || !package::verify_layout(folder_, found->digest)) return std::nullopt;
  return found->digest;
}

Result<std::string> PulledPackages::pull(const std::string& package, const wire::PackageRegistry& registry,
                                         const std::stop_token& stop) {
  VERGE_ASSIGN(const auto reference, reference_of(package));
  VERGE_ASSIGN(auto options, options_for(reference, registry));
  options.user_agent = "verge-agent/" + version_;
  options.stop = stop;
  VERGE_ASSIGN(const auto repository, registry_client::open_repository(reference, std::move(options)));
  VERGE_ASSIGN(const auto artifact, repository->artifact(reference.wanted()));
  VERGE_TRY(package::read_manifest(artifact.content, package));  // Before anything large comes.
  VERGE_ASSIGN(const auto layout, registry_client::open_layout(folder_));
  registry_client::CopyOptions how;
  how.scratch = folder_ / "incoming";
  VERGE_TRY(registry_client::copy(*repository, artifact, *layout, "", how));
  return artifact.digest;
}

Result<void> PulledPackages::take(const std::string& package, const std::string& digest) {
  VERGE_ASSIGN(const auto layout, registry_client::open_layout(folder_));
  VERGE_ASSIGN(auto artifact, layout->artifact(digest));
  artifact.title.clear();  // The tag is this package's alone, whatever it calls itself.
  return layout->put(artifact, package);
}

Result<void> PulledPackages::keep(const std::vector<std::string>& packages) {
  return registry_client::prune_layout(folder_, packages);
}

}  // namespace verge::agent
