#include <algorithm>
#include <utility>

#include "verge/crypto/sha256.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::package {
namespace {

using wire::Node;

std::string_view media_type(std::string_view path) {
  if (path == kMetadataFile) return kWeightConfigMediaType;
  if (path == kModelCardFile) return kDocumentMediaType;
  if (path.starts_with("model_files/")) return kWeightMediaType;
  if (path.starts_with("golden/")) return kGoldenMediaType;
  return kCodeMediaType;
}

Node descriptor(std::string_view type, std::string_view digest, std::uint64_t size_bytes) {
  Node node = Node::map();
  node.add("mediaType", Node::string(type));
  node.add("digest", Node::string(digest));
  node.add("size", Node::integer(static_cast<std::int64_t>(size_bytes)));
  return node;
}

std::string config_json(const wire::Metadata& metadata, const std::vector<PackageFile>& files) {
  Node about = Node::map();
  about.add("name", Node::string(metadata.name));
  about.add("version", Node::string(metadata.version));
  if (!metadata.authors.empty()) {
    about.add("authors", Node::list_of(metadata.authors, [](const auto& name) { return Node::string(name); }));
  }
  if (metadata.licence) {
    about.add("licenses", Node::list_of(std::vector{*metadata.licence}, [](const auto& l) { return Node::string(l); }));
  }
  if (metadata.source) about.add("sourceURL", Node::string(*metadata.source));
  if (metadata.description) about.add("description", Node::string(*metadata.description));
  Node model = Node::map();
  model.add("format", Node::string(wire::name(metadata.model.format)));
  Node modelfs = Node::map();
  modelfs.add("type", Node::string("layers"));
  modelfs.add("diffIds", Node::list_of(files, [](const auto& file) { return Node::string(file.digest); }));
  Node config = Node::map();
  config.add("descriptor", std::move(about));
  config.add("modelfs", std::move(modelfs));
  config.add("config", std::move(model));
  return wire::write_json_line(config);
}

/// What an artifact is.
struct About {
  std::string_view artifact_type;
  std::string_view config_type;
  std::string name;
  std::string version;
};

template <typename MediaType>
Manifest manifest_of(const About& about, std::string config, const std::vector<PackageFile>& files,
                     MediaType media_type_of) {
  Manifest made;
  made.config_json = std::move(config);
  made.config_digest = crypto::sha256(made.config_json);
  Node manifest = Node::map();
  manifest.add("schemaVersion", Node::integer(2));
  manifest.add("mediaType", Node::string(kManifestMediaType));
  manifest.add("artifactType", Node::string(about.artifact_type));
  manifest.add("config", descriptor(about.config_type, made.config_digest, made.config_json.size()));
  manifest.add("layers", Node::list_of(files, [&](const PackageFile& file) {
                 Node layer = descriptor(media_type_of(file.path), file.digest, file.size_bytes);
                 Node annotations = Node::map();
                 annotations.add(kFilePathAnnotation, Node::string(file.path));
                 layer.add("annotations", std::move(annotations));
                 return layer;
               }));
  Node annotations = Node::map();
  annotations.add("org.opencontainers.image.title", Node::string(about.name));
  annotations.add("org.opencontainers.image.version", Node::string(about.version));
  manifest.add("annotations", std::move(annotations));
  made.manifest_json = wire::write_json_line(manifest);
  made.manifest_digest = crypto::sha256(made.manifest_json);
  return made;
}

}  // namespace

std::string tag_of(std::string_view version) {
  std::string tag(version);
  std::ranges::replace(tag, '+', '_');
  return tag;
}

Manifest make_manifest(const wire::Metadata& metadata, const std::vector<PackageFile>& files) {
  return manifest_of({kArtifactType, kConfigMediaType, metadata.name, metadata.version}, config_json(metadata, files),
                     files, media_type);
}

Manifest make_manifest(const wire::AgentRelease& release, const std::vector<PackageFile>& files) {
  return manifest_of({kAgentArtifactType, kAgentConfigMediaType, release.name, release.version},
                     wire::write_json_line(wire::to_node(release)), files,
                     [](std::string_view) { return kAgentFileMediaType; });
}

}  // namespace verge::package
