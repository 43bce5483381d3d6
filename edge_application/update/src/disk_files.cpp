#include "verge/update/disk_files.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/model_package.hpp"

namespace verge::update {
namespace {

namespace fs = std::filesystem;

Error disk_error(std::string_view what, const fs::path& path, int number) {
  const std::error_code error(number, std::generic_category());
  if (number == ENOENT) {
    return Error(ErrorCode::not_found, "VRG-BAS-001",
                 fmt::format("cannot {} '{}': {}", what, path.string(), error.message()));
  }
  const bool full = number == ENOSPC || number == EDQUOT;
  return Error(
      full ? ErrorCode::resource_exhausted : ErrorCode::unavailable, full ? "VRG-BAS-002" : "VRG-BAS-001",
      fmt::format("cannot {} '{}': {}{}", what, path.string(), error.message(), full ? "; free some space" : ""));
}

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  [[nodiscard]] int get() const noexcept { return number_; }

 private:
  int number_;
};

Result<void> sync_path(const fs::path& path, int flags) {
  const Descriptor file(::open(path.c_str(), flags | O_CLOEXEC));
  if (file.get() < 0 || ::fsync(file.get()) != 0) return disk_error("sync", path, errno);
  return {};
}

Result<void> sync_folder(const fs::path& folder) {
  return sync_path(folder, O_RDONLY | O_DIRECTORY);
}

Result<void> make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return disk_error("make the folder", folder, failed.value());
  return {};
}

/// The names in a folder tree, made durable.
Result<void> sync_tree(const fs::path& folder) {
  std::error_code failed;
  for (fs::recursive_directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    if (it->is_directory(failed)) VERGE_TRY(sync_folder(it->path()));
  }
  if (failed) return disk_error("list", folder, failed.value());
  return sync_folder(folder);
}

}  // namespace

Result<std::string> DiskFiles::read(const std::string& name, std::uint64_t limit_bytes) {
  return read_text(path(name), limit_bytes);
}

Result<void> DiskFiles::write(const std::string& name, std::string_view content) {
  return write_file(path(name), content);
}

Result<void> DiskFiles::append(const std::string& name, std::span<const std::byte> bytes) {
  const auto to = path(name);
  Descriptor first(::open(to.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (first.get() < 0 && errno == ENOENT) {
    VERGE_TRY(make_folder(to.parent_path()));
    return append(name, bytes);
  }
  if (first.get() < 0) return disk_error("write", to, errno);
  while (!bytes.empty()) {
    const auto written = ::write(first.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_error("write", to, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> DiskFiles::sync(const std::string& name) {
  VERGE_TRY(sync_path(path(name), O_RDONLY));
  return sync_folder(path(name).parent_path());
}

Result<std::uint64_t> DiskFiles::size(const std::string& name) {
  std::error_code failed;
  const auto bytes = fs::file_size(path(name), failed);
  if (failed) return disk_error("look at", path(name), failed.value());
  return bytes;
}

Result<std::string> DiskFiles::digest(const std::string& name) {
  VERGE_ASSIGN(auto digest, crypto::sha256_of_file(path(name), package::kFileLimitBytes));
  return std::move(digest.digest);
}

Result<void> DiskFiles::rename(const std::string& from, const std::string& to) {
  std::error_code failed;
  if (fs::is_directory(path(from), failed)) VERGE_TRY(sync_tree(path(from)));
  VERGE_TRY(make_folder(path(to).parent_path()));
  if (::rename(path(from).c_str(), path(to).c_str()) != 0) return disk_error("rename", path(from), errno);
  VERGE_TRY(sync_folder(path(to).parent_path()));
  return path(from).parent_path() == path(to).parent_path() ? Result<void>{} : sync_folder(path(from).parent_path());
}

Result<void> DiskFiles::link(const std::string& from, const std::string& to) {
  VERGE_TRY(make_folder(path(to).parent_path()));
  if (::link(path(from).c_str(), path(to).c_str()) != 0 && errno != EEXIST) {
    return disk_error("make a second name for", path(from), errno);
  }
  return {};
}

bool DiskFiles::same(const std::string& a, const std::string& b) {
  std::error_code failed;
  return fs::equivalent(path(a), path(b), failed) && !failed;
}

Result<void> DiskFiles::remove(const std::string& name) {
  std::error_code failed;
  if (!fs::exists(fs::symlink_status(path(name), failed))) return {};
  fs::remove_all(path(name), failed);
  if (failed) return disk_error("remove", path(name), failed.value());
  return sync_folder(path(name).parent_path());
}

Result<std::vector<std::string>> DiskFiles::list(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator it(path(folder), failed), end; !failed && it != end; it.increment(failed)) {
    names.push_back(it->path().filename().string());
  }
  if (failed && failed != std::errc::no_such_file_or_directory) return disk_error("list", path(folder), failed.value());
  std::ranges::sort(names);
  return names;
}

std::uint64_t DiskFiles::free_bytes() {
  std::error_code failed;
  const auto space = fs::space(root_, failed);
  return failed ? 0 : space.available;
}

}  // namespace verge::update
