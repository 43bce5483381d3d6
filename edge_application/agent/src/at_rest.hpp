// At rest: the device's store, encrypted: its keys, the files through them, the packages in memory, and what happens in
// the background.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "memory_packages.hpp"
#include "verge/at_rest/key_store.hpp"
#include "verge/base/log.hpp"
#include "verge/update/disk_files.hpp"
#include "verge/update/encrypted_files.hpp"
#include "verge/wire/edge_config.hpp"

namespace verge::agent {

/// Folder of the keys.
[[nodiscard]] std::filesystem::path keys_folder(const std::filesystem::path& state_directory);
[[nodiscard]] at_rest::KeyStoreOptions key_store_options(const wire::AtRest& configured);

class AtRest {
 public:
  /// Opens the keys or makes the first, encrypts what is there in plain, and begins to look after the keys. Errors:
  /// those of at_rest::KeyStore::open(), of at_rest::MemoryFolder::create() and of the disk: nothing may run then.
  static Result<std::unique_ptr<AtRest>> open(Log& log, const wire::AtRest& configured,
                                              const std::filesystem::path& state_directory);
  /// Where it is switched off: decrypts what a run before has encrypted, and removes the keys. Errors: as open(), but
  /// nothing of memory.
  static Result<void> undo(Log& log, const std::filesystem::path& state_directory);
  ~AtRest();
  AtRest(const AtRest&) = delete;
  AtRest& operator=(const AtRest&) = delete;

  [[nodiscard]] update::Files& files() noexcept { return files_; }
  [[nodiscard]] const at_rest::DataKeys& keys() const noexcept { return store_->keys(); }
  [[nodiscard]] MemoryPackages& packages() noexcept { return *packages_; }
  /// What the owner of the device should know; may be none.
  [[nodiscard]] std::vector<std::string> messages() const;

 private:
  AtRest(Log& log, const wire::AtRest& configured, const std::filesystem::path& state_directory,
         std::unique_ptr<at_rest::KeyStore> store);
  void run(const std::stop_token& stop);
  Result<void> look_after_keys(const std::stop_token& stop);

  Log& log_;
  wire::AtRest configured_;
  const std::string spools_;  ///< Folder of what waits for its receivers; it is encrypted with the same keys.
  std::unique_ptr<at_rest::KeyStore> store_;
  std::string warning_;
  update::DiskFiles disk_;
  update::EncryptedFiles files_;
  std::unique_ptr<MemoryPackages> packages_;
  std::jthread thread_;
};

}  // namespace verge::agent
