#include "tpm_bytes.hpp"

namespace verge::attestation {

void TpmBytes::fail() noexcept {
  ok_ = false;
  rest_ = {};
}

std::span<const std::byte> TpmBytes::take(std::size_t size_bytes) noexcept {
  if (size_bytes > rest_.size()) {
    fail();
    return {};
  }
  const auto taken = rest_.first(size_bytes);
  rest_ = rest_.subspan(size_bytes);
  return taken;
}

std::uint64_t TpmBytes::number(std::size_t size_bytes) noexcept {
  std::uint64_t value = 0;
  for (const auto byte : take(size_bytes)) value = value << 8U | std::to_integer<std::uint64_t>(byte);
  return value;
}

std::span<const std::byte> TpmBytes::sized(std::size_t limit_bytes) noexcept {
  const std::size_t size_bytes = u16();
  if (size_bytes > limit_bytes) fail();
  return take(ok_ ? size_bytes : 0);
}

}  // namespace verge::attestation
