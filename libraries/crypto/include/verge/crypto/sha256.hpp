// SHA-256: digests of content, written as OCI does ("sha256:" and 64 hexadecimal digits).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"
#include "verge/crypto/digest.hpp"

namespace verge::crypto {

/// Digest of content that comes in pieces.
class Sha256 : public Digest {
 public:
  Sha256() : Digest(DigestAlgorithm::sha256) {}
};

[[nodiscard]] std::string sha256(std::span<const std::byte> bytes);
[[nodiscard]] std::string sha256(std::string_view text);

/// As digest_of_file().
Result<FileDigest> sha256_of_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// Whether `text` is "sha256:" and 64 lower-case hexadecimal digits.
[[nodiscard]] bool is_sha256(std::string_view text) noexcept;

}  // namespace verge::crypto
