#include "verge/registry_client/artifact.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "verge/crypto/digest.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/package/oci_index.hpp"
#include "verge/wire/document.hpp"

namespace verge::registry_client {
namespace {

using package::annotation;
using package::text_of;
using wire::Node;

constexpr std::size_t kMediaTypeLimit = 255;

Error not_a_manifest(std::string_view origin, std::string_view why) {
  return Error(ErrorCode::data_loss, "VRG-REG-008",
               fmt::format("{}: expected an OCI image manifest or index, got one where {}", origin, why));
}

/// It becomes a header.
bool is_media_type(std::string_view text) {
  return text.size() <= kMediaTypeLimit && std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

std::string without_parameters(std::string_view media_type) {
  media_type = media_type.substr(0, media_type.find(';'));
  while (media_type.ends_with(' ')) media_type.remove_suffix(1);
  return std::string(media_type);
}

Result<Descriptor> read_descriptor(const Node& node, std::string_view key, std::string_view origin) {
  Descriptor descriptor{text_of(node, "mediaType"), text_of(node, "digest"), 0, text_of(node, "artifactType"),
                        annotation(node, package::kFilePathAnnotation)};
  if (!crypto::is_digest(descriptor.digest)) {
    return not_a_manifest(origin, fmt::format("'{}' has no digest by sha256 or sha512", key));
  }
  if (!is_media_type(descriptor.media_type)) {
    return not_a_manifest(origin, fmt::format("'{}' has a mediaType that is none", key));
  }
  const Node* size = node.find("size");
  const auto text = size == nullptr ? std::string_view() : std::string_view(size->text);
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), descriptor.size_bytes);
  if (failed != std::errc{} || end != text.data() + text.size() || descriptor.size_bytes > kBlobLimitBytes) {
    return not_a_manifest(origin, fmt::format("'{}' has a size of '{}', not one of at most 64 GiB", key, text));
  }
  return descriptor;
}

Result<void> add_descriptors(const Node& node, std::string_view key, std::string_view origin,
                             std::vector<Descriptor>& descriptors) {
  const Node* list = node.find(key);
  if (list == nullptr) return {};
  if (list->kind != Node::Kind::list) return not_a_manifest(origin, fmt::format("'{}' is no list", key));
  if (list->items.size() > kDescriptorLimit) {
    return not_a_manifest(origin, fmt::format("'{}' has more than {} entries", key, kDescriptorLimit));
  }
  for (const auto& item : list->items) {
    VERGE_ASSIGN(auto descriptor, read_descriptor(item, key, origin));
    // The specification lets such layers lie elsewhere.
    if (descriptor.media_type.find(".nondistributable.") != std::string::npos) continue;
    if (std::ranges::find(descriptors, descriptor.digest, &Descriptor::digest) == descriptors.end()) {
      descriptors.push_back(std::move(descriptor));
    }
  }
  return {};
}

Result<Node> parse_manifest(std::string_view content, std::string_view origin) {
  if (content.size() > kManifestLimitBytes) {
    return not_a_manifest(origin, fmt::format("there are more than {} bytes", kManifestLimitBytes));
  }
  auto node = wire::parse_json(content, origin);
  if (!node) return not_a_manifest(origin, "the text is no JSON");
  if (node->kind != Node::Kind::map) return not_a_manifest(origin, "there is no object");
  return std::move(*node);
}

}  // namespace

Result<Artifact> parse_artifact(std::string content, std::string_view media_type, std::string_view digest,
                                std::string_view origin) {
  Artifact artifact;
  const auto algorithm = crypto::algorithm_of(digest).value_or(crypto::DigestAlgorithm::sha256);
  artifact.digest = crypto::digest(algorithm, content);
  if (!digest.empty() && artifact.digest != digest) {
    return Error(ErrorCode::data_loss, "VRG-REG-007",
                 fmt::format("{}: expected a manifest with the digest {}, got one with {}; do not trust it", origin,
                             digest, artifact.digest));
  }
  VERGE_ASSIGN(const Node node, parse_manifest(content, origin));
  artifact.media_type = text_of(node, "mediaType");
  const auto given = without_parameters(media_type);
  if (artifact.media_type.empty()) artifact.media_type = given;
  if (!given.empty() && given != artifact.media_type) {
    return not_a_manifest(origin, fmt::format("mediaType is '{}', unlike the Content-Type '{}'", artifact.media_type,
                                              given.substr(0, kMediaTypeLimit)));
  }
  if (artifact.media_type.empty() || !is_media_type(artifact.media_type)) {
    return not_a_manifest(origin, "there is no mediaType");
  }
  artifact.artifact_type = text_of(node, "artifactType");
  artifact.title = annotation(node, package::kTitleAnnotation);
  const Node* config = node.find("config");
  if (config == nullptr && node.find("manifests") == nullptr) {
    return not_a_manifest(origin, "there is neither 'config' nor 'manifests'");
  }
  if (config != nullptr) {
    VERGE_ASSIGN(auto descriptor, read_descriptor(*config, "config", origin));
    if (artifact.artifact_type.empty()) artifact.artifact_type = descriptor.media_type;
    artifact.blobs.push_back(std::move(descriptor));
  }
  VERGE_TRY(add_descriptors(node, "layers", origin, artifact.blobs));
  VERGE_TRY(add_descriptors(node, "manifests", origin, artifact.manifests));
  if (const Node* subject = node.find("subject"); subject != nullptr && subject->kind != Node::Kind::null) {
    VERGE_ASSIGN(artifact.subject, read_descriptor(*subject, "subject", origin));
  }
  if (const Node* annotations = node.find("annotations"); annotations != nullptr) {
    artifact.annotations_json = wire::write_json_line(*annotations);
  }
  artifact.content = std::move(content);
  return artifact;
}

Result<std::vector<Descriptor>> parse_index(std::string_view content, std::string_view origin) {
  VERGE_ASSIGN(const Node node, parse_manifest(content, origin));
  std::vector<Descriptor> descriptors;
  VERGE_TRY(add_descriptors(node, "manifests", origin, descriptors));
  return descriptors;
}

}  // namespace verge::registry_client
