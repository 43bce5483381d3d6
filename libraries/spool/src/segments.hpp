// Segments: the files of a spool, "<number>.segment", blocks one after the other. They are only added to; each run of a
// program begins a new one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "block.hpp"
#include "verge/base/file_system.hpp"

namespace verge::spool {

/// What a small file takes on a disk.
inline constexpr std::uint64_t kDiskBlockBytes = 4096;
inline constexpr const char* kSegmentSuffix = ".segment";
inline constexpr const char* kPartSuffix = ".part";

[[nodiscard]] std::string segment_path(const std::filesystem::path& folder, std::uint64_t number);
/// Numbers of the segments in a folder, ascending. Errors: the disk's.
Result<std::vector<std::uint64_t>> segment_numbers(FileSystem& system, const std::string& folder);
[[nodiscard]] constexpr std::uint64_t disk_bytes(std::uint64_t size_bytes) noexcept {
  return (size_bytes + kDiskBlockBytes - 1) / kDiskBlockBytes * kDiskBlockBytes;
}

/// Goes through the blocks of one segment. Damage between blocks is passed over.
class SegmentReader {
 public:
  /// Errors: the disk's.
  static Result<SegmentReader> open(FileSystem& system, const std::string& path);

  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  /// Where the next block is looked for.
  [[nodiscard]] std::uint64_t offset_bytes() const noexcept { return at_; }
  void go_on_at(std::uint64_t offset_bytes) noexcept { at_ = offset_bytes; }
  /// The head of the next block whose body ends at `end_bytes` or before, and goes on to behind it; nothing: there is
  /// none. `passed_over`: how many places were no block. A disk that cannot be read counts as damage.
  std::optional<Head> next(std::uint64_t end_bytes, std::uint64_t& passed_over);
  /// The body of the block that next() was about; nothing: it is damaged. Valid until the next call.
  std::optional<Body> body(const at_rest::DataKeys* keys);
  /// The same, as it is stored.
  [[nodiscard]] std::span<const std::byte> stored_body();

 private:
  SegmentReader(FileSystem& system, std::unique_ptr<OpenFile> file, std::uint64_t size_bytes)
      : system_(&system), file_(std::move(file)), size_bytes_(size_bytes) {}
  [[nodiscard]] bool read(std::uint64_t at, std::span<std::byte> into) const;
  [[nodiscard]] std::optional<Head> head_at(std::uint64_t at, std::uint64_t end_bytes) const;
  [[nodiscard]] std::uint64_t find_head(std::uint64_t from, std::uint64_t end_bytes) const;

  FileSystem* system_;
  std::unique_ptr<OpenFile> file_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t at_ = 0;
  Head head_;
  std::vector<std::byte> stored_;
  std::vector<std::byte> plain_;
};

/// Adds blocks, to a new segment where there is none yet, where one is full, and after an error.
class SegmentWriter {
 public:
  SegmentWriter(FileSystem& system, std::filesystem::path folder, std::uint64_t segment_bytes, std::uint64_t next)
      : system_(system), folder_(std::move(folder)), segment_bytes_(segment_bytes), next_(next) {}

  struct Place {
    std::uint64_t segment = 0;
    std::uint64_t end_bytes = 0;  ///< Behind the block.
  };
  /// Durable once sync() has returned. Errors: the disk's; nothing that was added since the last sync() counts then.
  Result<Place> append(std::span<const std::byte> block);
  Result<void> sync();
  /// The next block begins a new segment; to be called between sync() and append().
  void close();

  std::uint64_t writes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t syncs = 0;

 private:
  Result<void> begin();
  /// After an error nobody knows what the file has.
  void give_up();

  FileSystem& system_;
  const std::filesystem::path folder_;
  const std::uint64_t segment_bytes_;
  std::uint64_t next_;
  std::unique_ptr<OpenFile> file_;
  std::uint64_t number_ = 0;
  std::uint64_t size_bytes_ = 0;
  bool counts_ = false;    ///< Something in the segment is durable.
  bool unsynced_ = false;  ///< Something in it is not.
};

}  // namespace verge::spool
