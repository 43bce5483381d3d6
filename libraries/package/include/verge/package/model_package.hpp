// Model package: one immutable unit of model files, processing, labels, golden samples and metadata.
//
// As a folder (models/<name>/):
//   metadata.json  model_card.md  model_files/…  preprocessing/preprocessing.yaml
//   postprocessing/postprocessing.yaml (and its labels)  golden/golden.json (and its samples)
// The same files travel as an OCI artifact: image_layout.hpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/wire/golden.hpp"
#include "verge/wire/metadata.hpp"
#include "verge/wire/postprocessing.hpp"
#include "verge/wire/preprocessing.hpp"

namespace verge::package {

inline constexpr std::string_view kMetadataFile = "metadata.json";
inline constexpr std::string_view kModelCardFile = "model_card.md";
inline constexpr std::string_view kPreprocessingFile = "preprocessing/preprocessing.yaml";
inline constexpr std::string_view kPostprocessingFile = "postprocessing/postprocessing.yaml";
inline constexpr std::string_view kGoldenFile = "golden/golden.json";

/// Limits that hold for every package, whoever made it.
inline constexpr std::uint64_t kFileLimitBytes = std::uint64_t{16} << 30U;
inline constexpr std::size_t kFileCountLimit = 4096;
inline constexpr std::uint64_t kLabelFileLimitBytes = std::uint64_t{4} << 20U;
inline constexpr std::uint64_t kScriptLimitBytes = std::uint64_t{1} << 20U;    ///< Of a custom step in Python.
inline constexpr std::uint64_t kPluginLimitBytes = std::uint64_t{256} << 20U;  ///< Of one that is a plug-in.

/// A file of a package.
struct PackageFile {
  std::string path;  ///< Relative, with '/'; inside one of the package's folders.
  std::string digest;
  std::uint64_t size_bytes = 0;
};

/// A package whose documents have been read and checked against their schemas.
struct ModelPackage {
  std::filesystem::path root;      ///< Folder that holds the files.
  std::string digest;              ///< Of the OCI manifest that these files make, in whatever form they were opened.
  std::vector<PackageFile> files;  ///< Sorted by path.
  wire::Metadata metadata;
  wire::Preprocessing preprocessing;    ///< No steps, sample tensor, when the package has no such file.
  wire::Postprocessing postprocessing;  ///< No steps when the package has no such file.
  std::vector<std::string> labels;      ///< Lines of the label file; empty without one.
  wire::Golden golden;                  ///< No samples when the package has no such file.

  /// Path of a file named by a document that stands in `folder` of the package ("" for its top).
  /// Errors: invalid_argument when the name leads outside, not_found when the package has no such file.
  [[nodiscard]] Result<std::filesystem::path> file(std::string_view folder, std::string_view name) const;
  /// Path of the model: a file, or for TensorFlow's SavedModel a folder with everything in it. Errors: as file().
  [[nodiscard]] Result<std::filesystem::path> model_file() const;
};

/// Opens a package folder: lists and hashes its files, reads its documents, and checks that what they name is there.
/// Errors name file, line and key. VRG-PKG-001 not a package folder, 002 a file that has no place in a package, 003 too
/// many files, 004 a named file is missing, 006 a custom step's file is empty or too large, and those of the documents
/// (VRG-DOC-…).
Result<ModelPackage> open_folder(const std::filesystem::path& folder);

}  // namespace verge::package
