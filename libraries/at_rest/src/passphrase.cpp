#include "verge/at_rest/passphrase.hpp"

#include <new>

#include <openssl/evp.h>

namespace verge::at_rest {
namespace {

constexpr std::uint64_t kCost = std::uint64_t{1} << 17U;
constexpr std::uint64_t kBlocks = 8;
constexpr std::uint64_t kMemoryLimitBytes = std::uint64_t{160} << 20U;

}  // namespace

Secret key_of_passphrase(std::string_view passphrase, std::span<const std::byte> salt) {
  Secret key;
  if (EVP_PBE_scrypt(passphrase.data(), passphrase.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                     salt.size(), kCost, kBlocks, 1, kMemoryLimitBytes,
                     reinterpret_cast<unsigned char*>(key.bytes().data()), Secret::kBytes) != 1) {
    throw std::bad_alloc();
  }
  return key;
}

}  // namespace verge::at_rest
