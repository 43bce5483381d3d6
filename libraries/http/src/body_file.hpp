// Body files: large bodies that come into a file, and files that are answered, in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace verge::http {

inline constexpr std::size_t kPieceBytes = std::size_t{256} << 10U;

/// A file that a body is written into. Removed by reset() and destruction, wherever it still stands under its name.
class BodyFile {
 public:
  BodyFile() = default;
  ~BodyFile() { reset(); }
  BodyFile(const BodyFile&) = delete;
  BodyFile& operator=(const BodyFile&) = delete;

  /// False, with errno, when it cannot be made.
  bool create(const std::filesystem::path& folder);
  /// False, with errno.
  bool write(std::span<const std::byte> bytes);
  /// Closes it; the name stays.
  void close() noexcept;
  void reset() noexcept;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  std::vector<std::byte> piece;  ///< Of kPieceBytes while the body comes.

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// A part of a file that is read piece by piece.
class FilePiece {
 public:
  FilePiece() = default;
  ~FilePiece() { reset(); }
  FilePiece(const FilePiece&) = delete;
  FilePiece& operator=(const FilePiece&) = delete;

  /// False when it cannot be opened or is shorter than the part.
  bool open(const std::filesystem::path& file, std::uint64_t offset_bytes, std::uint64_t length_bytes);
  /// The next piece; empty at the end, or when reading failed (done() tells).
  std::span<const std::byte> next();
  [[nodiscard]] bool done() const noexcept { return left_bytes_ == 0; }
  void reset() noexcept;

 private:
  int descriptor_ = -1;
  std::uint64_t offset_bytes_ = 0;
  std::uint64_t left_bytes_ = 0;
  std::vector<std::byte> piece_;
};

}  // namespace verge::http
