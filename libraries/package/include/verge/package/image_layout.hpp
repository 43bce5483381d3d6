// Image layout: model packages as OCI artifacts in a folder (oci-layout, index.json, blobs/sha256/…).
//
// One file of the package is one layer, uncompressed, named by "org.cncf.model.filepath", with the media types of the
// CNCF ModelPack specification, so that registries and their tools carry it and versions share the blobs that did not
// change. Nothing in it depends on time, place or order: the same files make the same bytes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/package/model_package.hpp"

namespace verge::package {

inline constexpr std::string_view kManifestMediaType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kArtifactType = "application/vnd.cncf.model.manifest.v1+json";
inline constexpr std::string_view kConfigMediaType = "application/vnd.cncf.model.config.v1+json";
inline constexpr std::string_view kWeightMediaType = "application/vnd.cncf.model.weight.v1.raw";
inline constexpr std::string_view kWeightConfigMediaType = "application/vnd.cncf.model.weight.config.v1.raw";
inline constexpr std::string_view kDocumentMediaType = "application/vnd.cncf.model.doc.v1.raw";
inline constexpr std::string_view kCodeMediaType = "application/vnd.cncf.model.code.v1.raw";
/// Verge's own layer type: golden samples.
inline constexpr std::string_view kGoldenMediaType = "application/vnd.verge.golden.v1.raw";
inline constexpr std::string_view kFilePathAnnotation = "org.cncf.model.filepath";

/// The tag of a version: registries allow no '+', which becomes '_', as with Helm.
[[nodiscard]] std::string tag_of(std::string_view version);

/// The manifest and the config blob that a package makes.
struct Manifest {
  std::string manifest_json;
  std::string manifest_digest;
  std::string config_json;
  std::string config_digest;
};
/// Pure: depends on metadata and files only.
[[nodiscard]] Manifest make_manifest(const wire::Metadata& metadata, const std::vector<PackageFile>& files);

/// What a manifest names. Nothing is said about whether it is there.
struct ManifestContent {
  PackageFile config;              ///< With an empty path.
  std::vector<PackageFile> files;  ///< Sorted by path; every path stays inside the package.
};
/// Reads the manifest of a model package, or of what else `artifact_type` says (empty: any package of Verge); `origin`
/// names it in messages. Errors: data_loss (VRG-PKG-014 not what Verge understands), invalid_argument (VRG-BAS-004 a
/// path that leads outside, VRG-DOC-001 not JSON).
Result<ManifestContent> read_manifest(std::string_view text, std::string_view origin,
                                      std::string_view artifact_type = kArtifactType);

/// Adds the package to the layout in `layout` (made when absent), tagged with its version. Blobs that are there stay.
/// Errors: as write_file(); already_exists (VRG-PKG-010) when the version is there with another digest.
Result<void> write_layout(const ModelPackage& package, const std::filesystem::path& layout);

/// A manifest listed in a layout's index.
struct LayoutEntry {
  std::string digest;
  std::string tag;   ///< "1.0.0"; may be empty.
  std::string name;  ///< Of the model; may be empty for foreign artifacts.
};
/// Whether the folder is an image layout.
[[nodiscard]] bool is_layout(const std::filesystem::path& folder);
/// Errors: VRG-PKG-011 not an image layout, or a damaged index.
Result<std::vector<LayoutEntry>> list_layout(const std::filesystem::path& layout);

/// Checks every blob of the manifest (`reference`: a tag, a digest, or empty when there is only one) against its digest
/// and size, and lists its files. Errors: not_found (VRG-PKG-012), data_loss (VRG-PKG-013 wrong digest or size, 014 not
/// what Verge understands), invalid_argument (VRG-BAS-004 a path that leads outside).
struct VerifiedLayout {
  std::filesystem::path layout;
  std::string digest;
  std::vector<PackageFile> files;
};
Result<VerifiedLayout> verify_layout(const std::filesystem::path& layout, std::string_view reference);

/// Writes the files of a verified manifest into the new folder `folder`, as copies (or links into the layout when
/// `link`). Errors: already_exists (VRG-PKG-015) when `folder` exists and is not empty; as write_file().
Result<void> unpack_layout(const VerifiedLayout& verified, const std::filesystem::path& folder, bool link);

/// A package in either form. `name` is a folder, a layout, or a layout with "@sha256:…" or ":tag" behind it. A layout
/// is verified, and its files are linked into a folder under `scratch`, which must live as long as the package is used.
Result<ModelPackage> open(std::string_view name, const std::filesystem::path& scratch);

}  // namespace verge::package
