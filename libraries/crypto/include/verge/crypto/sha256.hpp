// SHA-256: digests of content, written as OCI does ("sha256:" and 64 hexadecimal digits).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "verge/base/error.hpp"

namespace verge::crypto {

/// Digest of content that comes in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// "sha256:…" of everything so far; the object must not be used afterwards.
  [[nodiscard]] std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string sha256(std::span<const std::byte> bytes);
[[nodiscard]] std::string sha256(std::string_view text);

/// Digest and size of a file, read in pieces. Errors: as read_file(); resource_exhausted above `limit_bytes`.
struct FileDigest {
  std::string digest;
  std::uint64_t size_bytes = 0;
};
Result<FileDigest> sha256_of_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// Whether `text` is "sha256:" and 64 lower-case hexadecimal digits.
[[nodiscard]] bool is_sha256(std::string_view text) noexcept;

}  // namespace verge::crypto
