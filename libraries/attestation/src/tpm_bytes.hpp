// TPM bytes: goes once through a structure as TPMs write it, big-endian (TPM 2.0 Library, Part 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace verge::attestation {

/// After the first mistake everything is 0 or empty, and ok() is false.
class TpmBytes {
 public:
  explicit TpmBytes(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::uint64_t number(std::size_t size_bytes) noexcept;
  std::uint8_t u8() noexcept { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() noexcept { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() noexcept { return static_cast<std::uint32_t>(number(4)); }
  std::span<const std::byte> take(std::size_t size_bytes) noexcept;
  /// TPM2B: a size and so many bytes, at most `limit_bytes`.
  std::span<const std::byte> sized(std::size_t limit_bytes) noexcept;
  void fail() noexcept;
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  /// Nothing was wrong, and nothing is left.
  [[nodiscard]] bool is_done() const noexcept { return ok_ && rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

}  // namespace verge::attestation
