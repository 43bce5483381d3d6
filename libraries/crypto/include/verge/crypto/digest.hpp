// Digest: content by its digest, with either algorithm that OCI registers, chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"

namespace verge::crypto {

enum class DigestAlgorithm : std::uint8_t { sha256, sha512 };

/// "sha256", "sha512".
[[nodiscard]] std::string_view name(DigestAlgorithm algorithm) noexcept;
/// The algorithm called so, or nothing.
[[nodiscard]] std::optional<DigestAlgorithm> to_digest_algorithm(std::string_view name) noexcept;
/// The algorithm of a digest written as OCI does: its name, ':' and 64 (sha256) or 128 (sha512) lower-case hexadecimal
/// digits. Nothing when `text` is anything else.
[[nodiscard]] std::optional<DigestAlgorithm> algorithm_of(std::string_view text) noexcept;
/// Whether `text` is such a digest.
[[nodiscard]] inline bool is_digest(std::string_view text) noexcept {
  return algorithm_of(text).has_value();
}

/// Digest of content that comes in pieces.
class Digest {
 public:
  explicit Digest(DigestAlgorithm algorithm);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// "sha256:…" or "sha512:…" of everything so far; the object must not be used afterwards.
  [[nodiscard]] std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string digest(DigestAlgorithm algorithm, std::string_view text);

/// Digest and size of a file, read in pieces. Errors: as read_file(); resource_exhausted above `limit_bytes`.
struct FileDigest {
  std::string digest;
  std::uint64_t size_bytes = 0;
};
Result<FileDigest> digest_of_file(DigestAlgorithm algorithm, const std::filesystem::path& path,
                                  std::uint64_t limit_bytes);

}  // namespace verge::crypto
