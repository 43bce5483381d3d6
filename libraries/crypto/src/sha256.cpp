#include "verge/crypto/sha256.hpp"

namespace verge::crypto {

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.finish();
}

std::string sha256(std::string_view text) {
  return digest(DigestAlgorithm::sha256, text);
}

Result<FileDigest> sha256_of_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  return digest_of_file(DigestAlgorithm::sha256, path, limit_bytes);
}

bool is_sha256(std::string_view text) noexcept {
  return algorithm_of(text) == DigestAlgorithm::sha256;
}

}  // namespace verge::crypto
