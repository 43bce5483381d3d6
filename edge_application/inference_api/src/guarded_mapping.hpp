// Guarded mapping: memory of a client, mapped. Where its pages are gone (the client has shrunk it) or cannot be had
// (/dev/shm is full), the kernel ends a process that touches it (SIGBUS): here the mapping turns into zeros of our own,
// and says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "verge/base/error.hpp"

namespace verge::inference_api {

/// Thread-safe, but for the content.
class GuardedMapping {
 public:
  /// Maps `size_bytes` from `offset_bytes` on; at least a page behind them can be read. The first one sets a handler
  /// for SIGBUS, which hands on what is not ours. Errors: resource_exhausted (VRG-API-033).
  static Result<std::unique_ptr<GuardedMapping>> map(int descriptor, std::uint64_t offset_bytes,
                                                     std::uint64_t size_bytes);
  ~GuardedMapping();
  GuardedMapping(const GuardedMapping&) = delete;
  GuardedMapping& operator=(const GuardedMapping&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  /// Whether the mapping has turned into zeros: it stays so.
  [[nodiscard]] bool broken() const noexcept;

 private:
  struct Slot;
  GuardedMapping(Slot& slot, std::span<std::byte> bytes) : slot_(slot), bytes_(bytes) {}
  static Slot* take_slot();
  static void handle(int number, void* information, void* context) noexcept;
  static void install();

  Slot& slot_;
  std::span<std::byte> bytes_;
};

}  // namespace verge::inference_api
