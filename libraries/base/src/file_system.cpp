#include "verge/base/file_system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

namespace verge {
namespace {

Called<int> opened(int number) {
  if (number < 0) return tl::unexpected(errno);
  return number;
}

Called<void> done(int result) {
  if (result != 0) return tl::unexpected(errno);
  return {};
}

FileSystem::Status status_of(const struct stat& found) {
  FileSystem::Status status;
  status.is_folder = S_ISDIR(found.st_mode);
  status.is_file = S_ISREG(found.st_mode);
  status.size_bytes = static_cast<std::uint64_t>(found.st_size);
  status.device = found.st_dev;
  status.inode = found.st_ino;
  return status;
}

class SystemCalls final : public FileSystem {
 public:
  Called<int> create(const std::string& path) override {
    return opened(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  }
  Called<int> open_to_append(const std::string& path) override {
    return opened(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  }
  Called<int> open(const std::string& path) override {
    return opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  }
  void close(int file) noexcept override { ::close(file); }

  Called<std::size_t> read(int file, std::span<std::byte> to) override {
    ssize_t got = 0;
    do got = ::read(file, to.data(), to.size());
    while (got < 0 && errno == EINTR);
    if (got < 0) return tl::unexpected(errno);
    return static_cast<std::size_t>(got);
  }
  Called<std::size_t> read_at(int file, std::uint64_t offset_bytes, std::span<std::byte> to) override {
    ssize_t got = 0;
    do got = ::pread(file, to.data(), to.size(), static_cast<off_t>(offset_bytes));
    while (got < 0 && errno == EINTR);
    if (got < 0) return tl::unexpected(errno);
    return static_cast<std::size_t>(got);
  }
  Called<std::size_t> write(int file, std::span<const std::byte> bytes) override {
    ssize_t put = 0;
    do put = ::write(file, bytes.data(), bytes.size());
    while (put < 0 && errno == EINTR);
    if (put < 0) return tl::unexpected(errno);
    return static_cast<std::size_t>(put);
  }
  Called<void> make_readable(int file) override { return done(::fchmod(file, 0644)); }
  Called<void> sync(int file) override { return done(::fsync(file)); }

  Called<Status> status(int file) override {
    struct stat found {};
    if (::fstat(file, &found) != 0) return tl::unexpected(errno);
    return status_of(found);
  }
  Called<Status> status(const std::string& path) override {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return tl::unexpected(errno);
    return status_of(found);
  }
  Called<void> rename(const std::string& from, const std::string& to) override {
    return done(std::rename(from.c_str(), to.c_str()));
  }
  Called<void> link(const std::string& from, const std::string& to) override {
    return done(::link(from.c_str(), to.c_str()));
  }
  Called<void> unlink(const std::string& path) override { return done(::unlink(path.c_str())); }
  Called<void> make_folder(const std::string& path) override { return done(::mkdir(path.c_str(), 0777)); }
  Called<void> remove_folder(const std::string& path) override { return done(::rmdir(path.c_str())); }

  Called<std::vector<std::string>> list(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
    if (!folder) return tl::unexpected(errno);
    std::vector<std::string> names;
    while (true) {
      errno = 0;
      // The folder is read by this thread only.
      const dirent* entry = ::readdir(folder.get());  // NOLINT(concurrency-mt-unsafe)
      if (entry == nullptr && errno != 0) return tl::unexpected(errno);
      if (entry == nullptr) return names;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
  }
  Called<std::uint64_t> free_bytes(const std::string& path) override {
    struct statvfs found {};
    if (::statvfs(path.c_str(), &found) != 0) return tl::unexpected(errno);
    return std::uint64_t{found.f_bavail} * found.f_frsize;
  }
};

}  // namespace

FileSystem& real_file_system() noexcept {
  static SystemCalls calls;  // Holds nothing.
  return calls;
}

Called<void> OpenFile::write_all(std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const auto put = system_.write(number_, bytes);
    if (!put) return tl::unexpected(put.error());
    bytes = bytes.subspan(*put);
  }
  return {};
}

Error file_error(std::string_view what, std::string_view path, int number) {
  ErrorCode code = ErrorCode::unavailable;
  std::string_view id = "VRG-BAS-001";
  std::string_view advice;
  if (number == ENOENT || number == ENOTDIR) {
    code = ErrorCode::not_found;
    advice = "; check the path";
  } else if (number == EACCES || number == EPERM || number == EROFS) {
    code = ErrorCode::permission_denied;
    advice = "; check the owner and the rights";
  } else if (number == ENOSPC || number == EDQUOT) {
    code = ErrorCode::resource_exhausted;
    id = "VRG-BAS-002";
    advice = "; free some space and try again: nothing was changed";
  }
  return Error(code, id, fmt::format("cannot {} '{}': {}{}", what, path, std::strerror(number), advice));
}

Result<void> replace_file(FileSystem& system, const std::string& path, const std::string& temporary,
                          std::span<const std::byte> content) {
  auto number = system.create(temporary);
  if (!number && number.error() == EEXIST) {
    (void)system.unlink(temporary).has_value();
    number = system.create(temporary);
  }
  if (!number) return file_error("write", path, number.error());
  const auto fail = [&](int error) {
    (void)system.unlink(temporary).has_value();
    return file_error("write", path, error);
  };
  const OpenFile file(system, *number);
  if (const auto written = file.write_all(content); !written) return fail(written.error());
  if (const auto readable = system.make_readable(file.get()); !readable) return fail(readable.error());
  if (const auto synced = system.sync(file.get()); !synced) return fail(synced.error());
  if (const auto renamed = system.rename(temporary, path); !renamed) return fail(renamed.error());
  return {};
}

Result<void> make_durable_folder(FileSystem& system, const std::string& path) {
  const std::filesystem::path folder(path);
  const std::string parent = folder.has_parent_path() ? folder.parent_path().string() : ".";
  auto made = system.make_folder(path);
  if (!made && made.error() == ENOENT && parent != path) {
    VERGE_TRY(make_durable_folder(system, parent));
    made = system.make_folder(path);
  }
  if (made) {
    auto synced = sync_path(system, parent);
    // Else a later call would find it, and take its name for durable.
    if (!synced) (void)system.remove_folder(path).has_value();
    return synced;
  }
  if (made.error() == EEXIST) return {};
  return file_error("make the folder", path, made.error());
}

Result<void> sync_path(FileSystem& system, const std::string& path) {
  const auto number = system.open(path);
  if (!number) return file_error("sync", path, number.error());
  const OpenFile file(system, *number);
  if (const auto synced = system.sync(file.get()); !synced) return file_error("sync", path, synced.error());
  return {};
}

}  // namespace verge
