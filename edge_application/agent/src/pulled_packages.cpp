#include "pulled_packages.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sealed_blobs.hpp"
#include "verge/base/file.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/package/oci_index.hpp"
#include "verge/registry_client/copy.hpp"
#include "verge/registry_client/layout.hpp"
#include "verge/registry_client/registry.hpp"

namespace verge::agent {
namespace {

constexpr const char* kFolder = "registry";
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
  }
  return {};
}

PulledPackages::PulledPackages(const std::filesystem::path& state_directory, std::string version, AtRest* at_rest)
    : folder_(state_directory / kFolder), version_(std::move(version)), at_rest_(at_rest) {
  blobs_ =
      at_rest_ == nullptr ? registry_client::folder_blobs(folder_) : std::make_shared<SealedBlobs>(at_rest_->files());
}

Result<std::unique_ptr<registry_client::ArtifactStore>> PulledPackages::layout() const {
  return registry_client::open_layout(folder_, blobs_);
}

std::optional<std::string> PulledPackages::present(const std::string& package) const {
  const auto there = layout();
  if (!there) return std::nullopt;
  const auto artifact = (*there)->artifact(package);
  if (!artifact) return std::nullopt;
  const bool whole = std::ranges::all_of(
      artifact->blobs, [&](const registry_client::Descriptor& blob) { return (*there)->has(blob).value_or(false); });
  return whole ? std::optional(artifact->digest) : std::nullopt;
}

Result<std::string> PulledPackages::open(const std::string& digest) {
  if (at_rest_ == nullptr) return folder_.string() + "@" + digest;
  if (const auto found = open_.find(digest); found != open_.end()) return found->second.path().string() + "@" + digest;
  VERGE_ASSIGN(const auto there, layout());
  VERGE_ASSIGN(const auto artifact, there->artifact(digest));
  std::vector<std::string> names{std::string(package::kLayoutFile), std::string(package::kIndexFile)};
  const auto add_blob = [&](const std::string& blob) {
    names.push_back("blobs/sha256/" + blob.substr(blob.find(':') + 1));
  };
  add_blob(digest);
  for (const auto& blob : artifact.blobs) add_blob(blob.digest);
  VERGE_ASSIGN(auto memory, at_rest_->packages().make());
  for (const auto& name : names) {
    VERGE_TRY(decrypt_into(memory, name, at_rest_->files(), fmt::format("{}/{}", kFolder, name)));
  }
  return open_.emplace(digest, std::move(memory)).first->second.path().string() + "@" + digest;
}

/// Where what is on its way lies in plain: in memory, where the disk is encrypted.
Result<std::filesystem::path> PulledPackages::scratch() {
  if (at_rest_ == nullptr) return folder_ / "incoming";
  if (!incoming_) {
    VERGE_ASSIGN(incoming_, at_rest_->packages().make());
  }
  return incoming_->path();
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
  VERGE_ASSIGN(const auto there, layout());
  registry_client::CopyOptions how;
  VERGE_ASSIGN(how.scratch, scratch());
  VERGE_TRY(registry_client::copy(*repository, artifact, *there, "", how));
  incoming_.reset();
  return artifact.digest;
}

Result<void> PulledPackages::take(const std::string& package, const std::string& digest) {
  VERGE_ASSIGN(const auto there, layout());
  VERGE_ASSIGN(auto artifact, there->artifact(digest));
  artifact.title.clear();  // The tag is this package's alone, whatever it calls itself.
  return there->put(artifact, package);
}

Result<void> PulledPackages::keep(const std::vector<std::string>& packages) {
  VERGE_TRY(registry_client::prune_layout(folder_, packages, blobs_));
  if (open_.empty()) return {};
  VERGE_ASSIGN(const auto kept, package::list_layout(folder_));
  std::erase_if(open_, [&](const auto& one) {
    return std::ranges::find(kept, one.first, &package::LayoutEntry::digest) == kept.end();
  });
  return {};
}

}  // namespace verge::agent
