// Shared memory: tensors that client and agent pass to each other in POSIX shared memory, not over the wire.
//
// A client that shrinks its region, or a full /dev/shm, is an error of the requests that use it, and of nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::inference_api {

/// A part of a region, as a request names it.
struct SharedMemoryPart {
  std::string region;
  std::uint64_t offset_bytes = 0;  ///< From the region's own start.
  std::uint64_t size_bytes = 0;
};

/// A part of a region, in memory that client and agent share: the client may change it at any time. Keeps the region.
class MappedPart {
 public:
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  /// What holds the memory.
  [[nodiscard]] const std::shared_ptr<const void>& owner() const noexcept { return owner_; }
  /// Whether all that was read and written since is the region's. Errors: invalid_argument (VRG-API-035 it was shrunk
  /// meanwhile); resource_exhausted (VRG-API-036 /dev/shm is full).
  [[nodiscard]] Result<void> check() const;

 private:
  friend class SharedMemory;
  struct Open;
  MappedPart(std::shared_ptr<const Open> open, std::span<std::byte> bytes);
  std::span<std::byte> bytes_;
  std::shared_ptr<const void> owner_;  ///< An Open.
};

/// The regions that clients have registered. Thread-safe: a region that is unregistered lives until its last request
/// has ended.
class SharedMemory {
 public:
  struct Region {
    std::string name;
    std::string key;  ///< Of shm_open(): "/name".
    std::uint64_t offset_bytes = 0;
    std::uint64_t size_bytes = 0;
  };

  /// No part may be larger than `max_part_bytes`: the agent's memory is not the client's to size.
  explicit SharedMemory(std::uint64_t max_part_bytes) : max_part_bytes_(max_part_bytes) {}

  /// Errors: invalid_argument (VRG-API-030 the region is not as large as was said, or is no shared memory),
  /// not_found (VRG-API-031), already_exists (VRG-API-032), resource_exhausted (VRG-API-033 too many regions).
  Result<void> add(Region region);
  /// Nothing happens when there is no such region: two clients may clean up.
  void remove(std::string_view name);
  void remove_all();
  /// All, or the one of that name. Errors: not_found (VRG-API-034).
  [[nodiscard]] Result<std::vector<Region>> list(std::string_view name = {}) const;

  /// A part where it lies. Errors: invalid_argument (VRG-API-034 no such region, 035 the part does not lie in it, or
  /// the region has been shrunk).
  [[nodiscard]] Result<MappedPart> map(const SharedMemoryPart& part) const;

 private:
  using Open = MappedPart::Open;
  [[nodiscard]] std::shared_ptr<const Open> find(std::string_view name) const;

  std::uint64_t max_part_bytes_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Open>, std::less<>> regions_;
};

}  // namespace verge::inference_api
