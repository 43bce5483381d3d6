#include "verge/crypto/random.hpp"

#include <cstdlib>
#include <iterator>
#include <vector>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

namespace verge::crypto {

std::string random_hex(std::size_t bytes) {
  std::vector<unsigned char> raw(bytes);
  // A secret that can be guessed is worse than a program that ends.
  if (RAND_priv_bytes(raw.data(), static_cast<int>(raw.size())) != 1) std::abort();
  std::string text;
  text.reserve(bytes * 2);
  for (const unsigned char byte : raw) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  OPENSSL_cleanse(raw.data(), raw.size());
  return text;
}

bool same_secret(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace verge::crypto
