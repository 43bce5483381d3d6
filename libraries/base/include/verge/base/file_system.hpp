// File system: the system calls that files are kept with, one by one. What must survive a loss of power is written
// against this, so that a test can run the very same code on a modelled disk that loses what was not synced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge {

/// What a system call gives: a value, or its error number.
template <typename T>
using Called = tl::expected<T, int>;

/// Thin: each function is one call with the meaning that POSIX gives it, and is safe from several threads.
///
/// What survives a loss of power: the content of a file once sync() of it has returned, and a name, or the end of one,
/// once sync() of each folder that it was made in or taken from has.
class FileSystem {
 public:
  struct Status {
    bool is_folder = false;
    bool is_file = false;
    std::uint64_t size_bytes = 0;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    friend bool operator==(const Status&, const Status&) = default;
  };

  virtual ~FileSystem() = default;
  /// A new file to write to, which only its owner may read; EEXIST when the name is taken.
  virtual Called<int> create(const std::string& path) = 0;
  /// To add to the end; made when absent.
  virtual Called<int> open_to_append(const std::string& path) = 0;
  /// A file to read, or a file or folder to sync. Never waits for a pipe.
  virtual Called<int> open(const std::string& path) = 0;
  virtual void close(int file) noexcept = 0;
  virtual Called<std::size_t> read(int file, std::span<std::byte> to) = 0;
  /// From this byte on; where read() goes on stays as it is.
  virtual Called<std::size_t> read_at(int file, std::uint64_t offset_bytes, std::span<std::byte> to) = 0;
  virtual Called<std::size_t> write(int file, std::span<const std::byte> bytes) = 0;
  /// Everybody may read it from now on.
  virtual Called<void> make_readable(int file) = 0;
  virtual Called<void> sync(int file) = 0;
  virtual Called<Status> status(int file) = 0;
  /// Of the name itself where it is a symbolic link.
  virtual Called<Status> status(const std::string& path) = 0;
  virtual Called<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Called<void> link(const std::string& from, const std::string& to) = 0;
  virtual Called<void> unlink(const std::string& path) = 0;
  virtual Called<void> make_folder(const std::string& path) = 0;
  virtual Called<void> remove_folder(const std::string& path) = 0;
  /// Names in a folder, in no order.
  virtual Called<std::vector<std::string>> list(const std::string& path) = 0;
  virtual Called<std::uint64_t> free_bytes(const std::string& path) = 0;
};

/// The machine's.
[[nodiscard]] FileSystem& real_file_system() noexcept;

/// An open file or folder that closes itself.
class OpenFile {
 public:
  OpenFile(FileSystem& system, int number) noexcept : system_(system), number_(number) {}
  ~OpenFile() { system_.close(number_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  OpenFile(OpenFile&&) = delete;
  OpenFile& operator=(OpenFile&&) = delete;

  [[nodiscard]] int get() const noexcept { return number_; }
  /// All of it. Errors: those of write().
  [[nodiscard]] Called<void> write_all(std::span<const std::byte> bytes) const;

 private:
  FileSystem& system_;
  int number_;
};

/// The error of a call on `path`: "cannot <what> '<path>': …".
/// Kinds: not_found, permission_denied, resource_exhausted (VRG-BAS-002: the disk is full), unavailable (I/O).
[[nodiscard]] Error file_error(std::string_view what, std::string_view path, int number);

/// As read_text() of file.hpp.
Result<std::string> read_text(FileSystem& system, const std::string& path, std::uint64_t limit_bytes);

/// The old content or the new, whatever happens: writes `temporary`, which lies in the same folder, syncs it, and
/// renames it over `path`. The new content survives a loss of power once the folder is synced, too. A file that is at
/// `temporary` already is given up.
Result<void> replace_file(FileSystem& system, const std::string& path, const std::string& temporary,
                          std::span<const std::byte> content);

/// Makes a folder with its parents, each so that its name survives a loss of power; one that is there is no error.
Result<void> make_durable_folder(FileSystem& system, const std::string& path);

/// Makes what was done to a file's content, or to a folder's names, durable.
Result<void> sync_path(FileSystem& system, const std::string& path);

}  // namespace verge
