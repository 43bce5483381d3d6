// Memory folder: files in locked memory under ordinary names, so that engines and confined processes open decrypted
// content by its path and no disk ever has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::at_rest {

/// Whether memory that cannot be kept from the swap is an error.
enum class Locking : std::uint8_t { required, best_effort };

/// A folder on a file system in memory (tmpfs), which its owner alone may enter; gone with the object. Movable. Used by
/// one thread at a time; its files are read by whoever knows the path.
class MemoryFolder {
 public:
  /// Makes `path`, whose parent must be on a file system in memory. One that is there is removed, if it is ours: a run
  /// that was killed left it. Errors: failed_precondition (VRG-RST-017 the parent is on a disk), permission_denied
  /// (VRG-RST-018 it is somebody else's), the file system's.
  static Result<MemoryFolder> create(const std::filesystem::path& path, Locking locking);
  MemoryFolder(MemoryFolder&& other) noexcept;
  MemoryFolder& operator=(MemoryFolder&& other) noexcept;
  MemoryFolder(const MemoryFolder&) = delete;
  MemoryFolder& operator=(const MemoryFolder&) = delete;
  ~MemoryFolder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// A file of this size, which `fill` writes; only read afterwards. Errors: invalid_argument (VRG-BAS-004 a name that
  /// leads outside), resource_exhausted (VRG-RST-015 the memory cannot be locked; 016 there is too little), those of
  /// `fill`.
  Result<void> add(std::string_view name, std::uint64_t size_bytes,
                   const std::function<Result<void>(std::span<std::byte>)>& fill);

 private:
  MemoryFolder(std::filesystem::path path, Locking locking) : path_(std::move(path)), locking_(locking) {}

  std::filesystem::path path_;
  Locking locking_ = Locking::required;
  std::vector<std::span<std::byte>> mapped_;  ///< What is mapped stays locked.
};

/// Where such folders go when nothing else is said: the service's runtime folder where it is in memory, else /dev/shm.
[[nodiscard]] std::filesystem::path default_memory_parent();

}  // namespace verge::at_rest
