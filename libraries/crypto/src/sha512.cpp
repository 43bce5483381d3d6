#include "verge/crypto/sha512.hpp"

#include "verge/crypto/digest.hpp"

namespace verge::crypto {

std::string sha512(std::string_view text) {
  return digest(DigestAlgorithm::sha512, text);
}

}  // namespace verge::crypto
