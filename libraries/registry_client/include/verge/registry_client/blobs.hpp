// Blobs: where a layout has its content, its own folder or wherever else a program keeps it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::registry_client {

/// Named by digest. Used by one thread. Errors: those of the disk.
class Blobs {
 public:
  struct Found {
    std::string digest;  ///< Of the content, by the algorithm of its name.
    std::uint64_t size_bytes = 0;
  };

  virtual ~Blobs() = default;
  /// Errors: not_found, resource_exhausted (VRG-BAS-003).
  virtual Result<std::string> read(const std::string& digest, std::uint64_t limit_bytes) = 0;
  /// What is there of this name, read whole. Errors: not_found.
  virtual Result<Found> look(const std::string& digest) = 0;
  virtual Result<void> write(const std::string& digest, std::string_view content) = 0;
  /// `file` has the content; it may be moved away when it lies in `scratch`.
  virtual Result<void> put(const std::string& digest, const std::filesystem::path& file,
                           const std::filesystem::path& scratch) = 0;
  /// A file with the content: where it lies, or in the folder `scratch`. Errors: not_found.
  virtual Result<std::filesystem::path> file(const std::string& digest, const std::filesystem::path& scratch) = 0;
  virtual Result<std::vector<std::string>> list() = 0;
  virtual Result<void> remove(const std::string& digest) = 0;
};

}  // namespace verge::registry_client
