#include "bundle_content.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include <fmt/format.h>

#include "verge/base/text.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/trust/client.hpp"
#include "verge/wire/application.hpp"
#include "verge/wire/device_detail.hpp"
#include "verge/wire/model_detail.hpp"

namespace verge::cli {
namespace {

constexpr std::uint64_t kDocumentLimitBytes = std::uint64_t{8} << 20U;

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

class MemoryStore final : public trust::MetadataStore {
 public:
  Result<std::string> read(std::string_view role) override {
    const auto found = roles_.find(role);
    if (found != roles_.end()) return found->second;
    return Error(ErrorCode::not_found, "VRG-CLI-051", fmt::format("no metadata of '{}' yet", role));
  }
  Result<void> write(std::string_view role, std::string_view content) override {
    roles_[std::string(role)] = content;
    return {};
  }

 private:
  std::map<std::string, std::string, std::less<>> roles_;
};

/// The hub's metadata; keeps what was asked for, since a device will ask for the same.
class KeepingSource final : public trust::MetadataSource {
 public:
  explicit KeepingSource(HubSession& hub) : hub_(hub) {}
  Result<std::string> fetch(std::string_view name, std::uint64_t limit_bytes) override {
    VERGE_ASSIGN(auto content, hub_.metadata(name, limit_bytes));
    kept_[std::string(name)] = content;
    return content;
  }
  [[nodiscard]] const std::map<std::string, std::string>& kept() const noexcept { return kept_; }

 private:
  HubSession& hub_;
  std::map<std::string, std::string> kept_;
};

struct Blob {
  std::uint64_t size_bytes = 0;
  std::string repository;  ///< Where it is fetched; empty: `content` is it.
  std::string content;
};

/// Collects what devices need.
class Content {
 public:
  Content(HubSession& hub, trust::Client& trust, KeepingSource& source) : hub_(hub), trust_(trust), source_(source) {}

  Result<void> add(const wire::DesiredApplication& wanted) {
    if (wanted.target.starts_with("models/")) return add_model(wanted.application, wanted.version, wanted.digest);
    if (wanted.target.starts_with("agents/")) {
      return add_package("agents", wanted.application, wanted.version, wanted.digest, package::kAgentArtifactType);
    }
    VERGE_ASSIGN(const auto text, document(wanted.target, wanted.digest));
    VERGE_ASSIGN(const wire::Node node, wire::parse_json(text, wanted.target));
    VERGE_ASSIGN(const auto application, wire::read_application(node, wire::Place(wanted.target)));
    for (const auto& model : application.models) {
      VERGE_TRY(add_model(model.model, model.version, model.digest.value_or("")));
    }
    return {};
  }

  /// By digest.
  std::map<std::string, Blob> blobs;
  /// Digests of packages' manifests, with "name:version".
  std::map<std::string, std::string> manifests;

 private:
  /// The content of a target, checked.
  Result<std::string> document(const std::string& path, const std::string& digest) {
    VERGE_ASSIGN(const auto target, trust_.target(source_, path, now_ms() / 1000));
    if (target.digest != digest) {
      return Error(ErrorCode::data_loss, "VRG-CLI-052",
                   fmt::format("'{}': expected the digest {}, which the device is to run, got {}, which is signed",
                               path, digest, target.digest));
    }
    if (const auto found = blobs.find(digest); found != blobs.end()) return found->second.content;
    const auto slash = path.rfind('/') + 1;
    http_client::Call call;
    call.path = fmt::format("/tuf/targets/{}{}.{}", path.substr(0, slash), digest.substr(digest.find(':') + 1),
                            path.substr(slash));
    call.limit_bytes = kDocumentLimitBytes;
    VERGE_ASSIGN(auto reply, hub_.send(call));
    VERGE_TRY(trust::check_target(target, reply.body));
    blobs[digest] = {reply.body.size(), {}, reply.body};
    return std::move(reply.body);
  }

  Result<void> add_model(const std::string& name, const std::string& version, const std::string& digest) {
    return add_package("models", name, version, digest, package::kArtifactType);
  }

  Result<void> add_package(std::string_view kind, const std::string& name, const std::string& version,
                           const std::string& digest, std::string_view artifact_type) {
    VERGE_ASSIGN(const auto text, document(fmt::format("{}/{}/{}.json", kind, name, version), digest));
    VERGE_ASSIGN(const auto content, package::read_manifest(text, digest, artifact_type));
    VERGE_ASSIGN(const auto model, hub_.read("/api/v1/models/" + encode(name), wire::read_model_detail));
    const auto found = std::ranges::find(model.versions, digest, &wire::ModelVersionInfo::digest);
    const auto repository = found == model.versions.end() ? name : found->repository.value_or(name);
    manifests[digest] = fmt::format("{}:{}", name, version);
    blobs.emplace(content.config.digest, Blob{content.config.size_bytes, repository, {}});
    for (const auto& file : content.files) blobs.emplace(file.digest, Blob{file.size_bytes, repository, {}});
    return {};
  }

  HubSession& hub_;
  trust::Client& trust_;
  KeepingSource& source_;
};

Result<wire::Bundle> describe(HubSession& hub, const std::vector<std::string>& devices) {
  wire::Bundle description;
  description.version = 1;
  description.created_ms = now_ms();
  description.hub_url = hub.url();
  for (const auto& name : devices) {
    VERGE_ASSIGN(auto device, hub.read("/api/v1/devices/" + encode(name), wire::read_device_detail));
    if (!device.desired.applications.empty()) description.devices.push_back(std::move(device.desired));
  }
  if (description.devices.empty()) {
    return Error(ErrorCode::not_found, "VRG-CLI-050",
                 "nothing is asked of any of these devices; deploy first: verge deploy MODEL --to SELECTOR --no-wait");
  }
  return description;
}

}  // namespace

Result<BundleSummary> write_bundle(HubSession& hub, const std::vector<std::string>& devices,
                                   const std::filesystem::path& file, const std::function<void(std::string)>& tell) {
  VERGE_ASSIGN(const auto description, describe(hub, devices));
  KeepingSource source(hub);
  MemoryStore store;
  // The connection is to the hub that was pinned at the log-in: its first root is what devices that join get, too.
  VERGE_ASSIGN(const auto root, source.fetch("1.root.json", trust::kRootLimitBytes));
  VERGE_ASSIGN(auto trust, trust::Client::open(store, root));
  VERGE_TRY(trust.refresh(source, now_ms() / 1000));
  Content content(hub, trust, source);
  for (const auto& device : description.devices) {
    for (const auto& wanted : device.applications) VERGE_TRY(content.add(wanted));
  }
  VERGE_ASSIGN(auto writer, bundle::Writer::create(file));
  VERGE_TRY(writer.describe(description));
  for (const auto& [name, text] : source.kept()) VERGE_TRY(writer.add_metadata(name, text));
  for (const auto& [digest, blob] : content.blobs) {
    tell(fmt::format("{} of {}", human_bytes(static_cast<double>(writer.size_bytes())),
                     human_bytes(static_cast<double>(writer.size_bytes() + blob.size_bytes))));
    const auto fill = [&, &from = blob, &name = digest](const bundle::Sink& sink) -> Result<void> {
      if (from.repository.empty()) return sink(std::as_bytes(std::span(from.content)));
      return hub.download(fmt::format("/v2/{}/blobs/{}", from.repository, name), sink);
    };
    VERGE_TRY(writer.add_blob(digest, blob.size_bytes, fill));
  }
  for (const auto& [digest, tag] : content.manifests) {
    writer.list_manifest(std::string(package::kManifestMediaType), digest, content.blobs.at(digest).size_bytes, tag);
  }
  VERGE_TRY(writer.finish());
  BundleSummary summary;
  for (const auto& device : description.devices) summary.devices.push_back(device.device);
  summary.blobs = static_cast<std::int64_t>(content.blobs.size());
  summary.size_bytes = writer.size_bytes();
  return summary;
}

}  // namespace verge::cli
