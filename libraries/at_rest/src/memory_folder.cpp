#include "verge/at_rest/memory_folder.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "verge/base/file.hpp"
#include "verge/base/file_system.hpp"
#include "verge/base/text.hpp"

namespace verge::at_rest {
namespace {

bool is_in_memory(const std::filesystem::path& path) {
  struct statfs found {};
  if (::statfs(path.c_str(), &found) != 0) return false;
  return found.f_type == TMPFS_MAGIC || found.f_type == RAMFS_MAGIC;
}

Error not_locked(std::string_view name, std::uint64_t size_bytes) {
  const int reason = errno;
  rlimit limit{};
  (void)::getrlimit(RLIMIT_MEMLOCK, &limit);
  const auto allowed =
      limit.rlim_cur == RLIM_INFINITY ? std::string("no limit") : human_bytes(static_cast<double>(limit.rlim_cur));
  return Error(
      ErrorCode::resource_exhausted, "VRG-RST-015",
      fmt::format("cannot keep '{}' ({}) in memory that is never swapped out: {}; the limit of locked memory is "
                  "{}. Raise it (systemd: LimitMEMLOCK=infinity), or set 'at_rest: lock: best_effort', where "
                  "there is no swap or it is encrypted",
                  name, human_bytes(static_cast<double>(size_bytes)), std::strerror(reason), allowed));
}

Error too_little(std::string_view name, std::uint64_t size_bytes, const std::filesystem::path& folder, int reason) {
  return Error(ErrorCode::resource_exhausted, "VRG-RST-016",
               fmt::format("no room in memory for '{}' ({}) in '{}': {}; give the file system there more, free memory, "
                           "or name another with 'at_rest: memory_folder'",
                           name, human_bytes(static_cast<double>(size_bytes)), folder.string(), std::strerror(reason)));
}

struct Owned {
  int number;
  ~Owned() { ::close(number); }
};

}  // namespace

Result<MemoryFolder> MemoryFolder::create(const std::filesystem::path& path, Locking locking) {
  const auto parent = path.parent_path();
  if (!is_in_memory(parent)) {
    return Error(ErrorCode::failed_precondition, "VRG-RST-017",
                 fmt::format("expected '{}' to be a folder in memory (tmpfs), where what is decrypted may lie, got one "
                             "that is not; name another with 'at_rest: memory_folder'",
                             parent.string()));
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (status.st_uid != ::geteuid()) {
      return Error(ErrorCode::permission_denied, "VRG-RST-018",
                   fmt::format("'{}' belongs to another user (number {}); remove it", path.string(), status.st_uid));
    }
    std::error_code ignored;  // What stays is an error of the next call.
    std::filesystem::remove_all(path, ignored);
  }
  if (::mkdir(path.c_str(), S_IRWXU) != 0) return file_error("make the folder", path.string(), errno);
  return MemoryFolder(path, locking);
}

MemoryFolder::MemoryFolder(MemoryFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), locking_(other.locking_), mapped_(std::exchange(other.mapped_, {})) {}

MemoryFolder& MemoryFolder::operator=(MemoryFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(locking_, other.locking_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

MemoryFolder::~MemoryFolder() {
  for (const auto& one : mapped_) (void)::munmap(one.data(), one.size());
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Result<void> MemoryFolder::add(std::string_view name, std::uint64_t size_bytes,
                               const std::function<Result<void>(std::span<std::byte>)>& fill) {
  VERGE_ASSIGN(const auto path, path_inside(path_, name));
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  if (failed) return file_error("make the folder", path.parent_path().string(), failed.value());
  const Owned file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR)};
  if (file.number < 0) return file_error("write", path.string(), errno);
  if (size_bytes == 0) return {};
  // Not by writing: a page that there is no memory for would end the process when it is touched.
  if (const int reason = ::posix_fallocate(file.number, 0, static_cast<off_t>(size_bytes)); reason != 0) {
    return too_little(name, size_bytes, path_, reason);
  }
  const auto size = static_cast<std::size_t>(size_bytes);
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0);
  if (memory == MAP_FAILED) return too_little(name, size_bytes, path_, errno);
  mapped_.emplace_back(static_cast<std::byte*>(memory), size);
  if (::mlock(memory, size) != 0 && locking_ == Locking::required) return not_locked(name, size_bytes);
  (void)::madvise(memory, size, MADV_DONTDUMP);
  VERGE_TRY(fill(mapped_.back()));
  if (::mprotect(memory, size, PROT_READ) != 0) return file_error("protect", path.string(), errno);
  return {};
}

std::filesystem::path default_memory_parent() {
  if (const char* const runtime = std::getenv("RUNTIME_DIRECTORY"); runtime != nullptr && is_in_memory(runtime)) {
    return runtime;
  }
  return "/dev/shm";
}

}  // namespace verge::at_rest
