// Content store: blobs by digest, whole or on their way, shared between versions.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "verge/update/ports.hpp"

namespace verge::update {

/// Whether the disk does not answer or is full now: that says nothing about what is stored.
[[nodiscard]] inline bool is_disk_trouble(const Error& error) {
  return error.id().starts_with("VRG-BAS") &&
         (error.code() == ErrorCode::unavailable || error.code() == ErrorCode::resource_exhausted);
}

/// Whether the same may work in a while, without anybody doing anything.
[[nodiscard]] inline bool passes_by_itself(const Error& error) {
  switch (error.code()) {
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded:
    case ErrorCode::cancelled:
    case ErrorCode::aborted: return true;
    case ErrorCode::internal:
    case ErrorCode::resource_exhausted: return error.id() == "VRG-HTC-009";  // A status of 5xx, or 429.
    default: return error.id() == "VRG-TUF-005";  // Expired: the hub will sign anew, or the clock will be set.
  }
}

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
  /// Makes the blob out of one that is here, as far as fetch() then has nothing to do; false: this delta is no good,
  /// and is not tried again. Errors: the network's, the disk's.
  Result<bool> fetch_by_delta(const BlobOrder& order, const DeltaOffer& offer, Network& network,
                              std::uint64_t& fetched);
  /// Of these the one to fetch least with, if any spares enough.
  [[nodiscard]] const DeltaOffer* best_delta(const BlobOrder& order, const std::vector<DeltaOffer>& offers);
  /// Whether there is anything beside these blobs.
  [[nodiscard]] bool has_others(const std::vector<BlobOrder>& orders);
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
  /// Of a delta that is here whole, applied; its errors and the disk's.
  Result<void> apply_delta(const BlobOrder& order, const DeltaOffer& offer);

  std::set<std::string> bad_deltas_;  ///< Digests of deltas that made nothing good.
  std::set<std::string> unsynced_;    ///< Partial files that are not to be relied on, and could not be removed yet.
};

}  // namespace verge::update
