// Shared memory: tensors that client and agent pass to each other in POSIX shared memory, not over the wire.
//
// A region is read and written with pread() and pwrite() on its descriptor, not mapped: a client that shrinks its
// region, or a full /dev/shm, would end a process that touches a mapping (SIGBUS); so it is an error of that one
// request.
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

  /// Copies a part into or out of `memory`, which has its size. Errors: invalid_argument (VRG-API-034 no such region,
  /// 035 the part does not lie in it, or the region has been shrunk).
  Result<void> read(const SharedMemoryPart& part, std::span<std::byte> memory) const;
  Result<void> write(const SharedMemoryPart& part, std::span<const std::byte> memory) const;
  /// What read() and write() would refuse of a part, before anything is done.
  Result<void> check(const SharedMemoryPart& part) const;

 private:
  struct Open;
  Result<std::shared_ptr<const Open>> find(const SharedMemoryPart& part) const;

  std::uint64_t max_part_bytes_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Open>, std::less<>> regions_;
};

}  // namespace verge::inference_api
