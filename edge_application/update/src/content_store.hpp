// Content store: blobs by digest, whole or on their way, shared between versions.
#pragma once

#include <optional>
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
  /// Reads the blob and compares; makes it whole when it was on its way: its content is durable then. What is damaged
  /// is removed. Errors: data_loss (VRG-UPD-004), the disk's.
  Result<void> check(const BlobOrder& order);
  /// Makes durable that the blobs that were checked are whole.
  Result<void> keep_checked();
  /// Removes everything but these blobs and packages; false: not all could be. What a loss of power brings back is
  /// removed the next time.
  bool keep_only(const std::set<std::string>& blobs, const std::set<std::string>& packages);

 private:
  /// Empty: there is no such file. Errors: the disk's.
  Result<std::optional<std::uint64_t>> size_of(const std::string& name);

  /// Removes what a sync has failed for: a second one could succeed without having written anything.
  Result<void> forget_unsynced(const std::string& name);

  Files& files_;
  std::set<std::string> unsynced_;  ///< Partial files that are not to be relied on, and could not be removed yet.
};

}  // namespace verge::update
