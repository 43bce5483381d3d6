// Files: read with a limit, written so that a crash leaves the old content or the new, never half.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge {

/// Whole content of a regular file of at most `limit_bytes`.
/// Errors: not_found, invalid_argument (a folder, a device), resource_exhausted (too large), unavailable (I/O).
Result<std::vector<std::byte>> read_file(const std::filesystem::path& path, std::uint64_t limit_bytes);
/// The same as text; the bytes are not checked.
Result<std::string> read_text(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// Writes a temporary file beside `path`, syncs it, renames it over `path` and syncs the folder.
/// The folder is made if absent. Errors: resource_exhausted (disk full), permission_denied, unavailable.
Result<void> write_file(const std::filesystem::path& path, std::span<const std::byte> content);
Result<void> write_file(const std::filesystem::path& path, std::string_view content);

/// Removes what a crash has left of write_file() in this folder. Only where nobody writes now.
void remove_unfinished(const std::filesystem::path& folder);

/// `root / relative`, refused (invalid_argument, VRG-BAS-004) when `relative` is absolute, empty, has "..", a
/// backslash or a control character: names that come from outside never leave `root`.
Result<std::filesystem::path> path_inside(const std::filesystem::path& root, std::string_view relative);

/// A new folder under the system's temporary folder, removed with its content when the object goes.
class TemporaryFolder {
 public:
  /// Errors: unavailable.
  static Result<TemporaryFolder> create(std::string_view prefix);
  ~TemporaryFolder();
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept;
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace verge
