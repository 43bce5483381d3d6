// Memory packages: encrypted packages, decrypted into memory for as long as something runs them.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "verge/at_rest/memory_folder.hpp"
#include "verge/update/ports.hpp"

namespace verge::agent {

/// A file of an encrypted store, decrypted into a folder in memory. Errors: those of at_rest::MemoryFolder::add() and
/// of the files.
Result<void> decrypt_into(at_rest::MemoryFolder& folder, std::string_view name, update::Files& files,
                          const std::string& stored);

/// Thread-safe.
class MemoryPackages {
 public:
  /// In a folder of its own, made anew at `folder`. `files` must outlive the object. Errors: those of
  /// at_rest::MemoryFolder::create().
  static Result<std::unique_ptr<MemoryPackages>> create(update::Files& files, const std::filesystem::path& folder,
                                                        at_rest::Locking locking);

  /// The package as an ordinary folder; the same for all who hold it. Errors: those of at_rest::MemoryFolder::add() and
  /// of the files.
  Result<std::shared_ptr<const at_rest::MemoryFolder>> open(const update::InstalledPackage& installed);
  /// A new, empty folder beside them. Errors: those of at_rest::MemoryFolder::create().
  Result<at_rest::MemoryFolder> make();

 private:
  MemoryPackages(update::Files& files, at_rest::MemoryFolder root, at_rest::Locking locking)
      : files_(files), root_(std::move(root)), locking_(locking) {}

  update::Files& files_;
  at_rest::MemoryFolder root_;
  at_rest::Locking locking_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<const at_rest::MemoryFolder>> open_;  ///< By digest.
  std::atomic<std::uint64_t> made_ = 0;
};

}  // namespace verge::agent
