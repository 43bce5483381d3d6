// Encrypted files: the device's store with what models are made of encrypted (blobs, whole or on their way, and the
// packages that link to them). Records, pointers and metadata stay readable: they hold no model.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "verge/at_rest/data_keys.hpp"
#include "verge/at_rest/encrypted_file.hpp"
#include "verge/update/ports.hpp"

namespace verge::update {

/// Of packages that were pulled from a registry: blobs, and blobs on their way. What else is in "registry" holds no
/// model.
inline constexpr const char* kPulledFolder = "registry/blobs/sha256";
inline constexpr const char* kPulledPartialFolder = "registry/incoming";

/// Whether a name in the store is of something that is encrypted.
[[nodiscard]] bool is_encrypted(const std::string& name);

/// All files below a folder of the store, sorted. Errors: those of the disk.
Result<std::vector<std::string>> files_below(Files& files, const std::string& folder);

/// As Files says, on top of another store; sizes, digests and places are those of the content. Of a blob that is on its
/// way up to 64 KiB are in memory until sync(): a run that ends before fetches them again. What is torn or does not
/// authenticate counts as not there where it is on its way, and has a digest that no content has where it is whole.
/// Thread-safe.
class EncryptedFiles final : public Files {
 public:
  /// Both must outlive the object.
  EncryptedFiles(Files& stored, const at_rest::DataKeys& keys) : stored_(stored), keys_(keys) {}

  Result<std::string> read(const std::string& name, std::uint64_t limit_bytes) override;
  Result<std::unique_ptr<OpenedFile>> open(const std::string& name) override;
  Result<void> write(const std::string& name, std::string_view content) override;
  Result<void> append(const std::string& name, std::span<const std::byte> bytes) override;
  Result<void> sync(const std::string& name) override;
  Result<std::uint64_t> size(const std::string& name) override;
  Result<std::string> digest(const std::string& name) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> link(const std::string& from, const std::string& to) override;
  bool same(const std::string& a, const std::string& b) override;
  Result<void> remove(const std::string& name) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  void remove_unfinished(const std::string& folder) override;
  std::uint64_t free_bytes() override;

  /// Encrypts one file anew that has another key than the newest, with all its names; false: there is none left but
  /// maybe on its way. Done again after a crash, it loses nothing. Errors: those of the disk.
  Result<bool> renew_one();
  /// Whether a file has another key than the newest.
  Result<bool> has_old();

 private:
  /// A file that is on its way.
  struct Growing {
    at_rest::GrowingFile file;
    bool torn = false;  ///< More is stored than is good.
  };
  Result<Growing*> growing(const std::string& name);
  Result<void> cut(const std::string& name, Growing& grown);
  Result<void> finish(const std::string& name);
  Result<at_rest::Reader> reader(const std::string& name);

  [[nodiscard]] at_rest::Sink end_of(const std::string& name);
  void forget(const std::string& name);
  Result<void> renew(const std::string& blob);
  Result<bool> has_old_key(const std::string& name);

  Files& stored_;
  const at_rest::DataKeys& keys_;
  std::mutex mutex_;
  std::map<std::string, Growing> growing_;
};

/// Encrypts what a store has in plain, and takes away what links to it: before anything else uses the store. After a
/// crash, done again. What seems encrypted with a key that is not there is removed: the hub sends it again. Errors:
/// those of the disk.
Result<void> encrypt_store(Files& stored, const at_rest::DataKeys& keys);
/// The other way.
Result<void> decrypt_store(Files& stored, const at_rest::DataKeys& keys);
/// Removes all that is encrypted, for a device that has lost its keys: the hub sends it again.
Result<void> clear_store(Files& stored);

}  // namespace verge::update
