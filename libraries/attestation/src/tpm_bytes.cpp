#include "tpm_bytes.hpp"

#include <new>

#include <openssl/evp.h>

namespace verge::attestation {

Digest digest_of(std::span<const std::byte> bytes) {
  Digest digest{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha256(),
                 nullptr) != 1) {
    throw std::bad_alloc();
  }
  return digest;
}

std::vector<std::byte> name_of(std::span<const std::byte> public_area) {
  std::vector<std::byte> name;
  add_u16(name, kSha256);
  const auto digest = digest_of(public_area);
  name.insert(name.end(), digest.begin(), digest.end());
  return name;
}

void add_u16(std::vector<std::byte>& to, std::uint16_t number) {
  to.push_back(static_cast<std::byte>(number >> 8U));
  to.push_back(static_cast<std::byte>(number & 0xFFU));
}

void add_sized(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  add_u16(to, static_cast<std::uint16_t>(bytes.size()));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

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
