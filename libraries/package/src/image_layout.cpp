#include "verge/package/image_layout.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/agent_release.hpp"
#include "verge/package/oci_index.hpp"

namespace verge::package {
namespace {

using wire::Node;

constexpr std::uint64_t kManifestLimitBytes = std::uint64_t{4} << 20U;  // As registries do.

std::filesystem::path blob_path(const std::filesystem::path& layout, std::string_view digest) {
  return layout / "blobs" / "sha256" / digest.substr(digest.find(':') + 1);
}

Error not_understood(std::string_view what, std::string_view why) {
  return Error(ErrorCode::data_loss, "VRG-PKG-014",
               fmt::format("{}: {}; expected a package made by 'verge package create'", what, why));
}

struct Descriptor {
  std::string digest;
  std::uint64_t size_bytes = 0;
};

Result<Descriptor> read_descriptor(const Node& node, std::string_view what) {
  Descriptor descriptor{text_of(node, "digest"), 0};
  const Node* size = node.find("size");
  if (!crypto::is_sha256(descriptor.digest)) return not_understood(what, "a descriptor without a sha256 digest");
  if (size == nullptr || size->kind != Node::Kind::plain) return not_understood(what, "a descriptor without a size");
  const auto* end = size->text.data() + size->text.size();
  const auto [read_to, error] = std::from_chars(size->text.data(), end, descriptor.size_bytes);
  if (error != std::errc{} || read_to != end || descriptor.size_bytes > kFileLimitBytes) {
    return not_understood(what, fmt::format("expected a size of at most 16 GiB, got '{}'", size->text));
  }
  return descriptor;
}

Error damaged_blob(std::string_view digest, std::string_view got) {
  return Error(ErrorCode::data_loss, "VRG-PKG-013",
               fmt::format("blob {} is damaged: {}; fetch or create the package again", digest, got));
}

Result<void> check_blob(const std::filesystem::path& layout, const Descriptor& descriptor) {
  auto got = crypto::sha256_of_file(blob_path(layout, descriptor.digest), kFileLimitBytes);
  if (!got && got.error().code() == ErrorCode::not_found) return damaged_blob(descriptor.digest, "it is missing");
  if (!got) return std::move(got).error();
  if (got->size_bytes != descriptor.size_bytes) {
    return damaged_blob(descriptor.digest,
                        fmt::format("expected {} bytes, got {}", descriptor.size_bytes, got->size_bytes));
  }
  if (got->digest != descriptor.digest)
    return damaged_blob(descriptor.digest, "its content has the digest " + got->digest);
  return {};
}

Result<Node> read_index(const std::filesystem::path& layout) {
  if (!is_layout(layout)) {
    return Error(ErrorCode::invalid_argument, "VRG-PKG-011",
                 fmt::format("expected an OCI image layout at '{}', got no '{}' there", layout.string(), kLayoutFile));
  }
  VERGE_ASSIGN(Node index, wire::read_document(layout / kIndexFile));
  const Node* manifests = index.find("manifests");
  if (manifests == nullptr || manifests->kind != Node::Kind::list) {
    return Error(ErrorCode::data_loss, "VRG-PKG-011",
                 fmt::format("'{}' has no list of manifests", (layout / kIndexFile).string()));
  }
  return index;
}

Node index_entry(const ModelPackage& package, const Manifest& manifest) {
  Node entry = Node::map();
  entry.add("mediaType", Node::string(kManifestMediaType));
  entry.add("artifactType", Node::string(kArtifactType));
  entry.add("digest", Node::string(manifest.manifest_digest));
  entry.add("size", Node::integer(static_cast<std::int64_t>(manifest.manifest_json.size())));
  Node annotations = Node::map();
  annotations.add(kTagAnnotation, Node::string(package.metadata.version));
  annotations.add(kTitleAnnotation, Node::string(package.metadata.name));
  entry.add("annotations", std::move(annotations));
  return entry;
}

Result<void> write_blob(const std::filesystem::path& layout, std::string_view digest, const std::string& content) {
  return write_file(blob_path(layout, digest), std::string_view(content));
}

Result<void> copy_blob(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code failed;
  std::filesystem::create_directories(to.parent_path(), failed);
  const auto temporary = to.parent_path() / ("." + to.filename().string() + ".part");
  if (!failed) {
    std::filesystem::copy_file(from, temporary, std::filesystem::copy_options::overwrite_existing, failed);
  }
  if (!failed) std::filesystem::rename(temporary, to, failed);
  if (!failed) return {};
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
  const bool full = failed == std::errc::no_space_on_device;
  return Error(full ? ErrorCode::resource_exhausted : ErrorCode::unavailable, full ? "VRG-BAS-002" : "VRG-BAS-001",
               fmt::format("cannot write '{}': {}{}", to.string(), failed.message(), full ? "; free some space" : ""));
}

Result<PackageFile> read_layer(const Node& layer, std::set<std::string>& seen) {
  VERGE_ASSIGN(const Descriptor descriptor, read_descriptor(layer, "layer"));
  PackageFile file{annotation(layer, kFilePathAnnotation), descriptor.digest, descriptor.size_bytes};
  VERGE_TRY(path_inside("/", file.path));
  if (!seen.insert(file.path).second) return not_understood(file.path, "two layers have this path");
  if (!text_of(layer, "mediaType").ends_with(".raw")) {
    return not_understood(file.path, "expected a layer of a raw media type, got '" + text_of(layer, "mediaType") + "'");
  }
  return file;
}

}  // namespace

bool is_layout(const std::filesystem::path& folder) {
  std::error_code failed;
  return std::filesystem::exists(folder / kLayoutFile, failed) && std::filesystem::exists(folder / kIndexFile, failed);
}

Result<ManifestContent> read_manifest(std::string_view text, std::string_view origin, std::string_view artifact_type) {
  VERGE_ASSIGN(const Node manifest, wire::parse_json(text, origin));
  const Node* config = manifest.find("config");
  const Node* layers = manifest.find("layers");
  const auto got = text_of(manifest, "artifactType");
  const bool fits = artifact_type.empty() ? got == kArtifactType || got == kAgentArtifactType : got == artifact_type;
  if (config == nullptr || layers == nullptr || !fits) {
    return not_understood(origin, fmt::format("expected artifactType '{}', got '{}'",
                                              artifact_type.empty() ? kArtifactType : artifact_type, got));
  }
  if (layers->items.size() > kFileCountLimit) return not_understood(origin, "more than 4096 layers");
  VERGE_ASSIGN(const Descriptor descriptor, read_descriptor(*config, "config"));
  ManifestContent content;
  content.config = {"", descriptor.digest, descriptor.size_bytes};
  std::set<std::string> seen;
  for (const auto& layer : layers->items) {
    VERGE_ASSIGN(PackageFile file, read_layer(layer, seen));
    content.files.push_back(std::move(file));
  }
  std::ranges::sort(content.files, {}, &PackageFile::path);
  return content;
}

Result<void> write_layout(const ModelPackage& package, const std::filesystem::path& layout) {
  Node index = new_index();
  if (is_layout(layout)) {
    VERGE_ASSIGN(index, read_index(layout));
  }
  const Manifest manifest = make_manifest(package.metadata, package.files);
  VERGE_ASSIGN(const auto entries, is_layout(layout) ? list_layout(layout) : Result<std::vector<LayoutEntry>>{});
  const auto same = std::ranges::find_if(entries, [&](const LayoutEntry& entry) {
    return entry.tag == package.metadata.version && entry.name == package.metadata.name;
  });
  if (same != entries.end() && same->digest != manifest.manifest_digest) {
    return Error(
        ErrorCode::already_exists, "VRG-PKG-010",
        fmt::format("'{}' already holds {} {} with other content ({}); a version never changes: raise 'version' "
                    "in metadata.json",
                    layout.string(), package.metadata.name, package.metadata.version, same->digest));
  }
  for (const auto& file : package.files) {
    const auto blob = blob_path(layout, file.digest);
    if (check_blob(layout, {file.digest, file.size_bytes})) continue;
    VERGE_TRY(copy_blob(package.root / file.path, blob));
    VERGE_TRY(check_blob(layout, {file.digest, file.size_bytes}));
  }
  VERGE_TRY(write_blob(layout, manifest.config_digest, manifest.config_json));
  VERGE_TRY(write_blob(layout, manifest.manifest_digest, manifest.manifest_json));
  VERGE_TRY(write_file(layout / kLayoutFile, std::string_view(R"({"imageLayoutVersion": "1.0.0"})")));
  if (same != entries.end()) return {};
  for (auto& [key, value] : index.members) {
    if (key == "manifests") value.items.push_back(index_entry(package, manifest));
  }
  return write_file(layout / kIndexFile, std::string_view(wire::write_json(index)));
}

Result<std::vector<LayoutEntry>> list_layout(const std::filesystem::path& layout) {
  VERGE_ASSIGN(const Node index, read_index(layout));
  std::vector<LayoutEntry> entries;
  for (const auto& item : index.find("manifests")->items) {
    entries.push_back({text_of(item, "digest"), annotation(item, kTagAnnotation), annotation(item, kTitleAnnotation)});
  }
  return entries;
}

Result<VerifiedLayout> verify_layout(const std::filesystem::path& layout, std::string_view reference) {
  VERGE_ASSIGN(const Node index, read_index(layout));
  std::vector<const Node*> found;
  std::string known;
  for (const auto& item : index.find("manifests")->items) {
    const auto digest = text_of(item, "digest");
    const auto tag = annotation(item, kTagAnnotation);
    known += (known.empty() ? "" : ", ") + (tag.empty() ? digest : tag);
    const bool named = reference.empty() || reference == digest || reference == tag;
    const auto same = [&](const Node* other) { return text_of(*other, "digest") == digest; };
    if (named && std::ranges::none_of(found, same)) found.push_back(&item);  // One package may have several tags.
  }
  if (found.size() != 1) {
    return Error(ErrorCode::not_found, "VRG-PKG-012",
                 fmt::format("expected exactly one package {} in '{}', got {}; it holds: {}; name one as '{}:TAG'",
                             reference.empty() ? "" : fmt::format("'{}'", reference), layout.string(), found.size(),
                             known.empty() ? "nothing" : known, layout.string()));
  }
  VERGE_ASSIGN(const Descriptor descriptor, read_descriptor(*found.front(), "index.json"));
  if (descriptor.size_bytes > kManifestLimitBytes) return not_understood(descriptor.digest, "a manifest above 4 MiB");
  VERGE_TRY(check_blob(layout, descriptor));
  VERGE_ASSIGN(const std::string text, read_text(blob_path(layout, descriptor.digest), kManifestLimitBytes));
  VERGE_ASSIGN(ManifestContent content, read_manifest(text, descriptor.digest));
  VERGE_TRY(check_blob(layout, {content.config.digest, content.config.size_bytes}));
  for (const auto& file : content.files) VERGE_TRY(check_blob(layout, {file.digest, file.size_bytes}));
  return VerifiedLayout{layout, descriptor.digest, std::move(content.files)};
}

Result<void> unpack_layout(const VerifiedLayout& verified, const std::filesystem::path& folder, bool link) {
  std::error_code failed;
  if (std::filesystem::exists(folder, failed) && !std::filesystem::is_empty(folder, failed)) {
    return Error(ErrorCode::already_exists, "VRG-PKG-015",
                 fmt::format("expected a new or empty folder, got '{}', which holds something; name another one",
                             folder.string()));
  }
  const auto layout = std::filesystem::absolute(verified.layout, failed);
  for (const auto& file : verified.files) {
    VERGE_ASSIGN(const auto path, path_inside(folder, file.path));
    const auto blob = blob_path(layout, file.digest);
    if (!link) {
      VERGE_TRY(copy_blob(blob, path));
      continue;
    }
    std::filesystem::create_directories(path.parent_path(), failed);
    if (!failed) std::filesystem::create_symlink(blob, path, failed);
    if (failed) {
      return Error(ErrorCode::unavailable, "VRG-BAS-001",
                   fmt::format("cannot make a link at '{}': {}", path.string(), failed.message()));
    }
  }
  return {};
}

Result<ModelPackage> open(std::string_view name, const std::filesystem::path& scratch) {
  std::filesystem::path path(name);
  std::string_view reference;
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) {
    const auto at = name.find("@sha256:");
    const auto split = at != std::string_view::npos ? at : name.rfind(':');
    if (split != std::string_view::npos && is_layout(name.substr(0, split))) {
      path = name.substr(0, split);
      reference = name.substr(split + 1);
    }
  }
  if (!is_layout(path)) return open_folder(path);
  VERGE_ASSIGN(const VerifiedLayout verified, verify_layout(path, reference));
  const auto folder = scratch / verified.digest.substr(verified.digest.find(':') + 1);
  if (!std::filesystem::exists(folder, failed)) {
    // Whole or not at all: a later call must not take half a folder for the package.
    const auto part = folder.string() + ".part";
    std::filesystem::remove_all(part, failed);
    VERGE_TRY(unpack_layout(verified, part, true));
    std::filesystem::rename(part, folder, failed);
    if (failed) {
      return Error(ErrorCode::unavailable, "VRG-BAS-001",
                   fmt::format("cannot make the folder '{}': {}", folder.string(), failed.message()));
    }
  }
  VERGE_ASSIGN(ModelPackage package, open_folder(folder));
  if (package.digest != verified.digest) {
    // Made by another tool, or another version of Verge: its own digest is its identity.
    package.digest = verified.digest;
  }
  return package;
}

}  // namespace verge::package
