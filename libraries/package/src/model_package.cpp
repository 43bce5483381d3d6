#include "verge/package/model_package.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/image_layout.hpp"

namespace verge::package {
namespace {

constexpr std::array<std::string_view, 4> kFolders{"model_files", "preprocessing", "postprocessing", "golden"};

Error misplaced(std::string_view path, std::string_view why) {
  return Error(ErrorCode::invalid_argument, "VRG-PKG-002",
               fmt::format("'{}' {}; a package holds metadata.json, model_card.md and files under model_files/, "
                           "preprocessing/, postprocessing/ and golden/: move or remove it",
                           path, why));
}

Result<std::vector<PackageFile>> list_files(const std::filesystem::path& folder) {
  std::vector<PackageFile> files;
  std::error_code failed;
  std::filesystem::recursive_directory_iterator entries(folder, failed);
  for (; !failed && entries != std::filesystem::recursive_directory_iterator(); entries.increment(failed)) {
    const auto& entry = *entries;
    const std::string path = entry.path().lexically_relative(folder).generic_string();
    if (entry.is_directory() && !entry.is_symlink()) {
      if (path == "__pycache__" || path.ends_with("/__pycache__")) entries.disable_recursion_pending();
      continue;
    }
    VERGE_TRY(path_inside(folder, path));
    // Links are what open() makes of a layout; in a folder of somebody else's they could point anywhere.
    const auto target = entry.is_symlink() ? std::filesystem::read_symlink(entry.path()) : std::filesystem::path();
    if (!entry.is_regular_file() || (entry.is_symlink() && target.parent_path().filename() != "sha256")) {
      return misplaced(path, "is not a regular file");
    }
    const auto top = path.substr(0, path.find('/'));
    const bool inside = path.find('/') != std::string::npos && std::ranges::find(kFolders, top) != kFolders.end();
    if (!inside && path != kMetadataFile && path != kModelCardFile) return misplaced(path, "has no place in a package");
    if (files.size() == kFileCountLimit) {
      return Error(ErrorCode::resource_exhausted, "VRG-PKG-003",
                   fmt::format("'{}' has too many files: expected at most {}", folder.string(), kFileCountLimit));
    }
    VERGE_ASSIGN(const auto digest, crypto::sha256_of_file(entry.path(), kFileLimitBytes));
    files.push_back({path, digest.digest, digest.size_bytes});
  }
  if (failed) {
    return Error(ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot read the folder '{}': {}", folder.string(), failed.message()));
  }
  std::ranges::sort(files, {}, &PackageFile::path);
  return files;
}

bool has(const ModelPackage& package, std::string_view path) {
  const auto found = std::ranges::lower_bound(package.files, path, {}, &PackageFile::path);
  return found != package.files.end() && found->path == path;
}

bool has_folder(const ModelPackage& package, std::string_view path) {
  const std::string inside = std::string(path) + "/";
  const auto found = std::ranges::lower_bound(package.files, inside, {}, &PackageFile::path);
  return found != package.files.end() && found->path.starts_with(inside);
}

template <typename T, typename Read>
Result<T> read_as(const ModelPackage& package, std::string_view name, Read read) {
  VERGE_ASSIGN(const wire::Node node, wire::read_document(package.root / name, name));
  return read(node, wire::Place(name));
}

Result<std::vector<std::string>> read_labels(const std::filesystem::path& path) {
  VERGE_ASSIGN(const std::string text, read_text(path, kLabelFileLimitBytes));
  std::vector<std::string> labels;
  std::size_t start = 0;
  while (start < text.size()) {
    const auto end = std::min(text.find('\n', start), text.size());
    std::string label = text.substr(start, end - start);
    if (label.ends_with('\r')) label.pop_back();
    labels.push_back(std::move(label));
    start = end + 1;
  }
  return labels;
}

/// A custom step's file: there, and of a size that makes sense.
Result<void> check_step_file(const ModelPackage& package, std::string_view definition, const wire::CustomStep& step) {
  const auto found = package.file("", step.file);
  if (!found) {
    return Error(found.error()).with_context(fmt::format("{} line {}", definition, step.line));
  }
  const bool plugin = step.file.ends_with(".so");
  const auto limit = plugin ? kPluginLimitBytes : kScriptLimitBytes;
  const auto entry = std::ranges::lower_bound(package.files, step.file, {}, &PackageFile::path);
  if (entry->size_bytes > 0 && entry->size_bytes <= limit) return {};
  return Error(ErrorCode::invalid_argument, "VRG-PKG-006",
               fmt::format("{} line {}: expected a {} of 1 to {} bytes, got {} in '{}'; correct the file", definition,
                           step.line, plugin ? "plug-in" : "script", limit, entry->size_bytes, step.file));
}

Result<void> check_step_files(const ModelPackage& package) {
  for (const auto& step : package.preprocessing.steps) {
    if (step.custom) {
      VERGE_TRY(check_step_file(package, kPreprocessingFile, *step.custom));
    }
  }
  for (const auto& step : package.postprocessing.steps) {
    if (step.custom) {
      VERGE_TRY(check_step_file(package, kPostprocessingFile, *step.custom));
    }
  }
  return {};
}

Result<void> check_golden_files(const ModelPackage& package) {
  for (const auto& sample : package.golden.samples) {
    const bool expects = !sample.classes.empty() || !sample.boxes.empty() || !sample.outputs.empty() || sample.mask ||
                         sample.error || !sample.values.empty() || sample.custom;
    const int inputs = (sample.image ? 1 : 0) + (sample.sample ? 1 : 0) + (sample.tensors.empty() ? 0 : 1);
    if (inputs != 1 || !expects) {
      return Error(
          ErrorCode::invalid_argument, "VRG-PKG-005",
          fmt::format("{} line {}: sample '{}' needs one of 'image', 'sample' and 'tensors', and at least one of "
                      "'classes', 'boxes', 'mask', 'outputs', 'error', 'values' and 'custom'",
                      kGoldenFile, sample.line, sample.name));
    }
    if (sample.image) VERGE_TRY(package.file("golden", *sample.image));
    if (sample.sample) VERGE_TRY(package.file("golden", *sample.sample));
    if (sample.mask) VERGE_TRY(package.file("golden", sample.mask->file));
    if (sample.custom) {
      VERGE_TRY(package.file("golden", *sample.custom));
    }
    for (const auto& file : sample.tensors) VERGE_TRY(package.file("golden", file));
    for (const auto& file : sample.outputs) VERGE_TRY(package.file("golden", file));
  }
  return {};
}

}  // namespace

Result<std::filesystem::path> ModelPackage::file(std::string_view folder, std::string_view name) const {
  VERGE_ASSIGN(std::filesystem::path path, path_inside(root / folder, name));
  const std::string relative = folder.empty() ? std::string(name) : fmt::format("{}/{}", folder, name);
  if (!has(*this, relative)) {
    std::vector<std::string_view> known;
    for (const auto& file : files) known.push_back(file.path);
    const auto meant = nearest(relative, known);
    return Error(ErrorCode::not_found, "VRG-PKG-004",
                 fmt::format("the package names the file '{}', which it does not hold{}", relative,
                             meant.empty() ? "; add it" : fmt::format("; did you mean '{}'?", meant)));
  }
  return path;
}

Result<std::filesystem::path> ModelPackage::model_file() const {
  const std::string_view name = metadata.model.file;
  if (metadata.model.format == wire::ModelFormat::tensorflow && has_folder(*this, name)) return path_inside(root, name);
  return file("", name);
}

Result<ModelPackage> open_folder(const std::filesystem::path& folder) {
  std::error_code failed;
  if (!std::filesystem::exists(folder / kMetadataFile, failed)) {
    const bool there = std::filesystem::exists(folder, failed);
    return Error(there ? ErrorCode::invalid_argument : ErrorCode::not_found, "VRG-PKG-001",
                 fmt::format("expected a model package at '{}', {}; make one with 'verge package init MODELFILE'",
                             folder.string(), there ? "got a folder without metadata.json" : "where there is nothing"));
  }
  ModelPackage package;
  package.root = folder;
  VERGE_ASSIGN(package.files, list_files(folder));
  VERGE_ASSIGN(package.metadata, read_as<wire::Metadata>(package, kMetadataFile, wire::read_metadata));
  package.preprocessing.version = 1;
  package.preprocessing.sample = wire::SampleKind::tensor;
  package.postprocessing.version = 1;
  package.golden.version = 1;
  if (has(package, kPreprocessingFile)) {
    VERGE_ASSIGN(package.preprocessing,
                 read_as<wire::Preprocessing>(package, kPreprocessingFile, wire::read_preprocessing));
  }
  if (has(package, kPostprocessingFile)) {
    VERGE_ASSIGN(package.postprocessing,
                 read_as<wire::Postprocessing>(package, kPostprocessingFile, wire::read_postprocessing));
  }
  if (has(package, kGoldenFile)) {
    VERGE_ASSIGN(package.golden, read_as<wire::Golden>(package, kGoldenFile, wire::read_golden));
  }
  VERGE_TRY(package.model_file());
  if (package.postprocessing.labels) {
    VERGE_ASSIGN(const auto path, package.file("postprocessing", *package.postprocessing.labels));
    VERGE_ASSIGN(package.labels, read_labels(path));
  }
  VERGE_TRY(check_step_files(package));
  VERGE_TRY(check_golden_files(package));
  package.digest = make_manifest(package.metadata, package.files).manifest_digest;
  return package;
}

}  // namespace verge::package
