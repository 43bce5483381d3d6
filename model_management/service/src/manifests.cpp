#include "manifests.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "verge/crypto/sha256.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/package/requirements.hpp"
#include "verge/wire/metadata.hpp"

namespace verge::hub {
namespace {

constexpr std::uint64_t kMetadataLimitBytes = std::uint64_t{4} << 20U;

Error not_a_manifest(std::string_view why) {
  return Error(ErrorCode::invalid_argument, "VRG-OCI-006",
               fmt::format("expected an OCI image manifest or index in JSON, got one where {}", why));
}

std::string text_of(const wire::Node& node, std::string_view key) {
  const auto* found = node.find(key);
  return found != nullptr && found->kind == wire::Node::Kind::quoted ? found->text : std::string();
}

Result<std::string> digest_of(const wire::Node& node, std::string_view what) {
  auto digest = text_of(node, "digest");
  if (node.kind != wire::Node::Kind::map || !crypto::is_digest(digest)) {
    return not_a_manifest(fmt::format("{} has no digest by sha256 or sha512", what));
  }
  return digest;
}

Result<void> add_descriptors(const wire::Node& node, std::string_view key, std::vector<std::string>& digests) {
  const auto* list = node.find(key);
  if (list == nullptr) return {};
  if (list->kind != wire::Node::Kind::list) return not_a_manifest(fmt::format("'{}' is no list", key));
  for (const auto& item : list->items) {
    VERGE_ASSIGN(auto digest, digest_of(item, key));
    // The specification lets such layers lie elsewhere.
    if (text_of(item, "mediaType").find(".nondistributable.") != std::string::npos) continue;
    if (std::ranges::find(digests, digest) == digests.end()) digests.push_back(std::move(digest));
  }
  return {};
}

/// Without parameters such as "; charset=utf-8".
std::string without_parameters(std::string_view media_type) {
  media_type = media_type.substr(0, media_type.find(';'));
  while (media_type.ends_with(' ')) media_type.remove_suffix(1);
  return std::string(media_type);
}

bool has_layer(const wire::Node& node, std::string_view path) {
  const auto* layers = node.find("layers");
  if (layers == nullptr) return false;
  return std::ranges::any_of(layers->items, [&](const wire::Node& layer) {
    const auto* annotations = layer.find("annotations");
    return annotations != nullptr && text_of(*annotations, package::kFilePathAnnotation) == path;
  });
}

Error differs(std::string_view what, std::string_view expected, std::string_view got) {
  return Error(ErrorCode::invalid_argument, "VRG-HUB-024",
               fmt::format("the {} must be that of the package: expected '{}', got '{}'; push it as "
                           "HUB/<name>:<version>",
                           what, expected, got));
}

Result<wire::TargetCustom> model_custom(const wire::Node& node, std::uint64_t disk_bytes) {
  VERGE_ASSIGN(const auto metadata, wire::read_metadata(node, wire::Place(package::kMetadataFile)));
  return package::target_custom(metadata, disk_bytes);
}

Result<wire::TargetCustom> release_custom(const wire::Node& node, std::uint64_t disk_bytes) {
  VERGE_ASSIGN(const auto release, wire::read_agent_release(node, wire::Place(package::kReleaseFile)));
  return package::target_custom(release, disk_bytes);
}

}  // namespace

Result<ParsedManifest> parse_manifest(const std::string& content, const std::string& media_type,
                                      crypto::DigestAlgorithm algorithm) {
  if (content.size() > kManifestLimitBytes) {
    return Error(ErrorCode::resource_exhausted, "VRG-OCI-014",
                 fmt::format("expected a manifest of at most {} bytes, got {}; put what is large into a blob",
                             kManifestLimitBytes, content.size()));
  }
  VERGE_ASSIGN(const auto node, wire::parse_json(content, "manifest"));
  if (node.kind != wire::Node::Kind::map) return not_a_manifest("there is no object");
  ParsedManifest parsed;
  parsed.content = content;
  parsed.record.digest = crypto::digest(algorithm, content);
  parsed.record.media_type = without_parameters(media_type);
  if (parsed.record.media_type.empty()) parsed.record.media_type = text_of(node, "mediaType");
  if (const auto own = text_of(node, "mediaType"); !own.empty() && own != parsed.record.media_type) {
    return not_a_manifest(fmt::format("mediaType is '{}', unlike the Content-Type '{}'", own, media_type));
  }
  // It becomes the header of an answer.
  if (std::ranges::any_of(parsed.record.media_type, [](char c) { return c < ' ' || c > '~'; })) {
    return not_a_manifest("mediaType is not in plain ASCII");
  }
  parsed.record.size_bytes = static_cast<std::int64_t>(content.size());
  parsed.record.artifact_type = text_of(node, "artifactType");
  if (const auto* config = node.find("config")) {
    VERGE_ASSIGN(auto digest, digest_of(*config, "config"));
    parsed.blobs.push_back(std::move(digest));
    if (parsed.record.artifact_type.empty()) parsed.record.artifact_type = text_of(*config, "mediaType");
  }
  VERGE_TRY(add_descriptors(node, "layers", parsed.blobs));
  VERGE_TRY(add_descriptors(node, "manifests", parsed.manifests));
  if (node.find("config") == nullptr && node.find("manifests") == nullptr) {
    return not_a_manifest("there is neither 'config' nor 'manifests'");
  }
  if (const auto* subject = node.find("subject")) {
    VERGE_ASSIGN(parsed.record.subject, digest_of(*subject, "subject"));
  }
  const auto* annotations = node.find("annotations");
  parsed.record.annotations = annotations == nullptr ? "{}" : wire::write_json_line(*annotations);
  parsed.all_sha256 = crypto::is_sha256(parsed.record.digest) && std::ranges::all_of(parsed.blobs, crypto::is_sha256);
  const auto type = text_of(node, "artifactType");
  if (type == package::kArtifactType && has_layer(node, package::kMetadataFile)) parsed.kind = "model";
  if (type == package::kAgentArtifactType && has_layer(node, package::kReleaseFile)) parsed.kind = "agent";
  return parsed;
}

Result<std::optional<VersionRecord>> judge_package(Core& core, Transaction& store, const ParsedManifest& manifest,
                                                   const std::string& tag) {
  const bool is_model = manifest.kind == "model";
  const auto document = is_model ? package::kMetadataFile : package::kReleaseFile;
  VERGE_ASSIGN(const auto content,
               package::read_manifest(manifest.content, "manifest",
                                      is_model ? package::kArtifactType : package::kAgentArtifactType));
  std::uint64_t disk_bytes = 0;
  std::string document_digest;
  for (const auto& file : content.files) {
    VERGE_ASSIGN(const auto size_bytes, core.blobs.size_bytes(file.digest));
    if (size_bytes != file.size_bytes) {
      return not_a_manifest(
          fmt::format("'{}' has {} bytes, unlike its blob with {}", file.path, file.size_bytes, size_bytes));
    }
    disk_bytes += size_bytes;
    if (file.path == document) document_digest = file.digest;
  }
  VERGE_ASSIGN(const auto text, core.blobs.read(document_digest, kMetadataLimitBytes));
  VERGE_ASSIGN(const auto node, wire::parse_json(text, document));
  VERGE_ASSIGN(const auto custom, is_model ? model_custom(node, disk_bytes) : release_custom(node, disk_bytes));
  const auto& repository = manifest.record.repository;
  const auto slash = repository.rfind('/');
  const auto last = slash == std::string::npos ? repository : repository.substr(slash + 1);
  if (last != custom.name) return differs("repository's last part", custom.name, last);
  if (tag.empty()) return std::optional<VersionRecord>();
  if (tag != package::tag_of(custom.version)) return differs("tag", package::tag_of(custom.version), tag);
  const auto others = store.versions_of(custom.name);
  const bool is_taken = !others.empty() && others.front().kind != manifest.kind;
  if (is_taken || (is_model && custom.name == package::kAgentName)) {
    return Error(ErrorCode::already_exists, "VRG-HUB-022",
                 fmt::format("'{}' is the name of {} already, and cannot be that of a {}; choose another name",
                             custom.name, is_taken ? others.front().kind : "the agent", manifest.kind));
  }
  if (const auto there = store.version(custom.name, custom.version)) {
    if (there->digest == manifest.record.digest && there->repository == repository) {
      return std::optional<VersionRecord>();
    }
    return Error(
        ErrorCode::already_exists, "VRG-HUB-023",
        fmt::format("'{}' {} is on this hub with another content ({} in '{}', got {} in '{}'); versions do not "
                    "change: give the new one a higher version",
                    custom.name, custom.version, there->digest, there->repository, manifest.record.digest, repository));
  }
  VersionRecord version;
  version.kind = manifest.kind;
  version.name = custom.name;
  version.version = custom.version;
  version.digest = manifest.record.digest;
  version.repository = repository;
  version.content_bytes = manifest.record.size_bytes;
  version.size_bytes = static_cast<std::int64_t>(disk_bytes);
  version.custom = wire::write_json_line(wire::to_node(custom));
  version.created_ms = core.now();
  return std::optional<VersionRecord>(version);
}

}  // namespace verge::hub
