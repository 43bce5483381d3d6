// Key store: where a device keeps the keys of what it encrypts. The data keys lie beside what they encrypt, each
// encrypted with the master key; that one is sealed to a TPM, or lies in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "verge/at_rest/data_keys.hpp"
#include "verge/at_rest/tpm_part.hpp"
#include "verge/base/error.hpp"
#include "verge/wire/at_rest_keys.hpp"

namespace verge::at_rest {

struct KeyStoreOptions {
  wire::AtRestStore store = wire::AtRestStore::file;
  std::filesystem::path key_file;  ///< Of the store 'file'; empty: master.key in the key store's folder.
  std::string tcti = "device:/dev/tpmrm0";
  std::vector<unsigned> pcrs{7};
};

/// Holds the folder's lock: a second one, in whatever process, is refused while this one is open. Used by one thread at
/// a time, but for keys().
class KeyStore {
 public:
  /// Whether keys lie in `folder`.
  [[nodiscard]] static bool exists(const std::filesystem::path& folder);
  /// Opens the keys in `folder`, or makes the first ones; what the options say otherwise than the folder is brought
  /// about: another store, other registers. Errors: failed_precondition (VRG-RST-013 another process has it open),
  /// data_loss (VRG-RST-011 the keys do not fit the master key), not_found and permission_denied (VRG-RST-012 the key
  /// file), VRG-DOC-…, and those of the TPM (VRG-RST-006 to 010).
  static Result<std::unique_ptr<KeyStore>> open(const std::filesystem::path& folder, const KeyStoreOptions& options);
  /// Opens the keys that are there, as they are. Errors: as open(); not_found.
  static Result<std::unique_ptr<KeyStore>> open(const std::filesystem::path& folder);
  /// Removes the keys: nothing that they have encrypted can be read from then on. Errors: VRG-RST-013, the disk's.
  static Result<void> remove(const std::filesystem::path& folder);
  ~KeyStore();
  KeyStore(const KeyStore&) = delete;
  KeyStore& operator=(const KeyStore&) = delete;

  [[nodiscard]] DataKeys& keys() noexcept { return keys_; }
  [[nodiscard]] const wire::AtRestKeys& document() const noexcept { return document_; }
  /// What is not as safe as it could be, in words; empty: nothing.
  [[nodiscard]] std::string warning() const;
  /// What open() has brought about, in words; empty: nothing.
  [[nodiscard]] const std::string& news() const noexcept { return news_; }

  /// A new data key, for all files from now on; durable when this returns. Errors: the disk's; resource_exhausted
  /// (VRG-RST-014 there are too many that are still needed).
  Result<void> rotate();
  /// Nothing is encrypted with any other than the newest: they are forgotten.
  Result<void> forget_old();
  /// Seals the master key to no register until the next boot, for a change that is to come. Nothing happens with a
  /// file.
  Result<void> suspend();
  /// Seals the master key anew, to the registers as they are or, where given, as they will be.
  Result<void> reseal(const std::vector<unsigned>& pcrs, const std::map<unsigned, Register>& expected);

 private:
  KeyStore(std::filesystem::path folder, int lock) : folder_(std::move(folder)), lock_(lock) {}
  static Result<std::unique_ptr<KeyStore>> locked(const std::filesystem::path& folder);
  Result<void> make(const KeyStoreOptions& options);
  Result<void> load();
  Result<void> adapt(const KeyStoreOptions& options);
  Result<void> seal_by(const KeyStoreOptions& options, const std::map<unsigned, Register>& expected);
  Result<void> write() const;
  void add_data_key();

  std::filesystem::path folder_;
  int lock_;
  Secret master_;
  wire::AtRestKeys document_;
  DataKeys keys_;
  std::string news_;
};

}  // namespace verge::at_rest
