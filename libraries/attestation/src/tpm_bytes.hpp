// TPM bytes: structures as TPMs write them, big-endian, and their numbers (TPM 2.0 Library, Part 2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace verge::attestation {

inline constexpr std::uint16_t kRsa = 0x0001;
inline constexpr std::uint16_t kAes = 0x0006;
inline constexpr std::uint16_t kSha256 = 0x000B;
inline constexpr std::uint16_t kNull = 0x0010;
inline constexpr std::uint16_t kEcdsa = 0x0018;
inline constexpr std::uint16_t kEcc = 0x0023;
inline constexpr std::uint16_t kCfb = 0x0043;
inline constexpr std::uint16_t kP256 = 0x0003;
inline constexpr std::uint32_t kFixedTpm = 1U << 1U;
inline constexpr std::uint32_t kFixedParent = 1U << 4U;
inline constexpr std::uint32_t kMadeInside = 1U << 5U;
inline constexpr std::uint32_t kAdminWithPolicy = 1U << 7U;
inline constexpr std::uint32_t kRestricted = 1U << 16U;
inline constexpr std::uint32_t kDecrypt = 1U << 17U;
inline constexpr std::uint32_t kSign = 1U << 18U;
inline constexpr std::size_t kDigestBytes = 32;

/// SHA-256.
using Digest = std::array<std::byte, kDigestBytes>;
Digest digest_of(std::span<const std::byte> bytes);
/// Of a key with this public area (TPMT_PUBLIC).
std::vector<std::byte> name_of(std::span<const std::byte> public_area);

void add_u16(std::vector<std::byte>& to, std::uint16_t number);
/// TPM2B: a size and the bytes.
void add_sized(std::vector<std::byte>& to, std::span<const std::byte> bytes);

/// Goes once through a structure.

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
