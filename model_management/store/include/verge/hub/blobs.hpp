// Blobs: content by digest, in files, and uploads that are not whole yet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/crypto/digest.hpp"

namespace verge::hub {

/// Thread-safe as far as no two threads change one upload. Removing a blob, and making one, must not happen at the same
/// time: both are done inside a transaction of the store, which says what is in use.
class Blobs {
 public:
  /// `folder`/blobs/sha256, `folder`/blobs/sha512 and `folder`/uploads, made when absent. Errors: as write_file().
  /// `first`: until a first start has come to its end, folders may have been made whose names are not durable yet.
  static Result<Blobs> open(const std::filesystem::path& folder, bool first = true);

  /// Of a digest (crypto::is_digest).
  [[nodiscard]] std::filesystem::path path(std::string_view digest) const;
  [[nodiscard]] bool has(std::string_view digest) const;
  /// Size, or not_found (VRG-HUB-003).
  [[nodiscard]] Result<std::uint64_t> size_bytes(std::string_view digest) const;
  [[nodiscard]] Result<std::string> read(std::string_view digest, std::uint64_t limit_bytes) const;
  /// Stores small content under its digest, which is given back.
  Result<std::string> write(std::string_view content,
                            crypto::DigestAlgorithm algorithm = crypto::DigestAlgorithm::sha256) const;

  struct Entry {
    std::filesystem::path file;
    std::string digest;  ///< Empty: what a crash left of content that was being written.
    std::uint64_t size_bytes = 0;
  };
  /// All files there are. Errors: unavailable (VRG-BAS-001).
  [[nodiscard]] Result<std::vector<Entry>> list() const;
  /// Removes a blob's file; one that is not there is removed already. Errors: unavailable (VRG-BAS-001).
  static Result<void> remove(const std::filesystem::path& file);

  [[nodiscard]] std::filesystem::path uploads() const { return folder_ / "uploads"; }
  [[nodiscard]] std::filesystem::path upload_path(std::string_view id) const;
  /// Makes an empty upload. One whose file a loss of power takes is empty, too.
  Result<void> begin_upload(std::string_view id) const;
  [[nodiscard]] std::uint64_t upload_size_bytes(std::string_view id) const;
  /// Puts `file` behind what is there. The first one is moved, others are copied. Synced when it returns and `durable`
  /// is set: the last piece need not be, before verify() and adopt().
  Result<void> append(std::string_view id, const std::filesystem::path& file, bool durable) const;
  /// Cuts the upload back to its first `size_bytes`.
  Result<void> cut(std::string_view id, std::uint64_t size_bytes) const;
  /// Checks the upload's digest; synced when it returns. Errors: data_loss (VRG-HUB-004).
  Result<void> verify(std::string_view id, std::string_view digest) const;
  /// Makes a verified upload the blob, too; synced when it returns. The upload stays until drop(), so that nothing is
  /// lost when the database does not get to know the blob.
  Result<void> adopt(std::string_view id, std::string_view digest) const;
  void drop(std::string_view id) const;

 private:
  explicit Blobs(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

}  // namespace verge::hub
