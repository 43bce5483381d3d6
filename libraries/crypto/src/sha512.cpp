#include "verge/crypto/sha512.hpp"

#include <array>
#include <iterator>
#include <new>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace verge::crypto {

std::string sha512(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), raw.data(), &size, EVP_sha512(), nullptr) != 1) throw std::bad_alloc();
  std::string digest = "sha512:";
  for (unsigned i = 0; i < size; ++i) fmt::format_to(std::back_inserter(digest), "{:02x}", raw.at(i));
  return digest;
}

}  // namespace verge::crypto
