// Content store: blobs by digest, whole or on their way, shared between versions.
#pragma once

#include <set>
#include <string>

#include "verge/update/ports.hpp"

namespace verge::update {

/// A blob and how large it is said to be.
struct BlobOrder {
  std::string digest;
  std::uint64_t size_bytes = 0;
};

/// blobs/sha256/<hex> is whole and was checked when it came; partial/<hex> is on its way.
class ContentStore {
 public:
  explicit ContentStore(Files& files) : files_(files) {}

  [[nodiscard]] static std::string blob_name(const std::string& digest);
  /// Folder of an unpacked model package.
  [[nodiscard]] static std::string package_folder(const std::string& digest);

  [[nodiscard]] bool has(const BlobOrder& order);
  /// Bytes of it that are there: all, or the part that came before a break.
  [[nodiscard]] std::uint64_t bytes_there(const BlobOrder& order);
  /// Fetches what is missing, from the byte where it ended. `fetched` counts the bytes that came. Errors: data_loss
  /// (VRG-UPD-003 more than declared), the network's, the disk's.
  Result<void> fetch(const BlobOrder& order, Network& network, std::uint64_t& fetched);
  /// Reads the blob and compares; makes it whole when it was on its way. What is damaged is removed. Errors: data_loss
  /// (VRG-UPD-004).
  Result<void> check(const BlobOrder& order);
  /// Removes everything but these blobs and packages.
  void keep_only(const std::set<std::string>& blobs, const std::set<std::string>& packages);

 private:
  Files& files_;
};

}  // namespace verge::update
