// Shared memory: pages that two processes see, without a name in the file system.
#pragma once

#include <cstddef>
#include <span>

#include "verge/base/descriptor.hpp"
#include "verge/base/error.hpp"

namespace verge::process {

/// Movable; unmapped by its owner's end.
class SharedMemory {
 public:
  SharedMemory() = default;
  /// New and full of zeros; its size is sealed, so that the other side cannot take pages away from under us.
  /// Errors: resource_exhausted (VRG-PRC-002).
  static Result<SharedMemory> create(std::size_t size_bytes);
  /// What another process made. Errors: invalid_argument (VRG-PRC-003: not sealed, or smaller than `size_bytes`).
  static Result<SharedMemory> open(Descriptor descriptor, std::size_t size_bytes);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_.number(); }

 private:
  static Result<SharedMemory> map(Descriptor descriptor, std::size_t size_bytes);
  Descriptor descriptor_;
  std::span<std::byte> bytes_;
};

}  // namespace verge::process
