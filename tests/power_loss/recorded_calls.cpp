#include "recorded_calls.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>

namespace verge::power_loss {
namespace {

using Kind = RecordedCall::Kind;

class Recorder {
 public:
  void start(const std::string& folder) {
    const std::lock_guard lock(mutex_);
    folder_ = folder;
    calls_.clear();
    files_.clear();
  }
  std::vector<RecordedCall> stop() {
    const std::lock_guard lock(mutex_);
    folder_.clear();
    files_.clear();
    return std::move(calls_);
  }
  void add(RecordedCall call) {
    const std::lock_guard lock(mutex_);
    if (!folder_.empty()) calls_.push_back(std::move(call));
  }
  /// The path below the folder; nothing for others.
  std::optional<std::string> below(const char* path) {
    const std::lock_guard lock(mutex_);
    if (folder_.empty() || path == nullptr) return std::nullopt;
    const std::string text(path);
    if (text == folder_) return "/";
    if (!text.starts_with(folder_ + "/")) return std::nullopt;
    return text.substr(folder_.size());
  }
  std::optional<std::string> of_file(int number) {
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(number);
    return found == files_.end() ? std::nullopt : std::optional(found->second);
  }
  void opened(int number, const std::string& path) {
    const std::lock_guard lock(mutex_);
    files_[number] = path;
  }
  void closed(int number) {
    const std::lock_guard lock(mutex_);
    files_.erase(number);
  }

 private:
  std::mutex mutex_;
  std::string folder_;
  std::map<int, std::string> files_;
  std::vector<RecordedCall> calls_;
};

Recorder& recorder() {
  static Recorder made;
  return made;
}

template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

using Open = int(const char*, int, ...);

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  const auto below = recorder().below(path);
  struct stat status {};
  const bool was_there = below && ::stat(path, &status) == 0;
  const int number = real<Open>(name)(path, flags, mode);
  if (number < 0 || !below) return number;
  if (!was_there && (flags & O_CREAT) != 0) recorder().add({Kind::create, *below, {}, 0, {}});
  if (was_there && (flags & O_TRUNC) != 0 && status.st_size > 0) recorder().add({Kind::truncate, *below, {}, 0, {}});
  recorder().opened(number, *below);
  return number;
}

void wrote(int number, std::uint64_t offset, const void* bytes, ssize_t count) {
  if (count <= 0) return;
  if (const auto path = recorder().of_file(number)) {
    recorder().add(
        {Kind::write, *path, {}, offset, {static_cast<const char*>(bytes), static_cast<std::size_t>(count)}});
  }
}

int cut(const char* name, int number, off_t size) {
  const int done = real<int(int, off_t)>(name)(number, size);
  const auto path = recorder().of_file(number);
  if (done == 0 && path) recorder().add({Kind::truncate, *path, {}, static_cast<std::uint64_t>(size), {}});
  return done;
}

int synced(const char* name, int number) {
  const int done = real<int(int)>(name)(number);
  const auto path = recorder().of_file(number);
  if (done == 0 && path) recorder().add({Kind::sync, *path, {}, 0, {}});
  return done;
}

int changed_name(const char* name, Kind kind, const char* path) {
  const auto below = recorder().below(path);
  const int done = real<int(const char*)>(name)(path);
  if (done == 0 && below) recorder().add({kind, *below, {}, 0, {}});
  return done;
}

}  // namespace

void start_recording(const std::string& folder) {
  recorder().start(folder);
}
void mark(const std::string& text) {
  recorder().add({Kind::mark, text, {}, 0, {}});
}
std::vector<RecordedCall> stop_recording() {
  return recorder().stop();
}

}  // namespace verge::power_loss

using namespace verge::power_loss;  // NOLINT(google-build-using-namespace): what follows has C names.

#pragma GCC visibility push(default)
extern "C" {

// NOLINTBEGIN(cert-dcl50-cpp,readability-inconsistent-declaration-parameter-name): the C library's own declarations.
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const auto mode = static_cast<mode_t>((flags & O_CREAT) != 0 ? va_arg(rest, unsigned) : 0);
  va_end(rest);
  return open_as("open", path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const auto mode = static_cast<mode_t>((flags & O_CREAT) != 0 ? va_arg(rest, unsigned) : 0);
  va_end(rest);
  return open_as("open64", path, flags, mode);
}
// NOLINTEND(cert-dcl50-cpp,readability-inconsistent-declaration-parameter-name)
int close(int number) {
  recorder().closed(number);
  return real<int(int)>("close")(number);
}
ssize_t write(int number, const void* bytes, size_t size) {
  const auto path = recorder().of_file(number);
  if (!path) return real<ssize_t(int, const void*, size_t)>("write")(number, bytes, size);
  const bool appends = (::fcntl(number, F_GETFL) & O_APPEND) != 0;
  const auto at = ::lseek(number, 0, appends ? SEEK_END : SEEK_CUR);
  const auto count = real<ssize_t(int, const void*, size_t)>("write")(number, bytes, size);
  wrote(number, static_cast<std::uint64_t>(at), bytes, count);
  return count;
}
ssize_t pwrite(int number, const void* bytes, size_t size, off_t offset) {
  const auto count = real<ssize_t(int, const void*, size_t, off_t)>("pwrite")(number, bytes, size, offset);
  wrote(number, static_cast<std::uint64_t>(offset), bytes, count);
  return count;
}
ssize_t pwrite64(int number, const void* bytes, size_t size, off64_t offset) {
  const auto count = real<ssize_t(int, const void*, size_t, off64_t)>("pwrite64")(number, bytes, size, offset);
  wrote(number, static_cast<std::uint64_t>(offset), bytes, count);
  return count;
}
int ftruncate(int number, off_t size) noexcept {
  return cut("ftruncate", number, size);
}
int ftruncate64(int number, off64_t size) noexcept {
  return cut("ftruncate64", number, size);
}
int fsync(int number) {
  return synced("fsync", number);
}
int fdatasync(int number) {
  return synced("fdatasync", number);
}
int rename(const char* from, const char* to) noexcept {
  const auto source = recorder().below(from);
  const auto target = recorder().below(to);
  const int done = real<int(const char*, const char*)>("rename")(from, to);
  if (done == 0 && source && target) recorder().add({Kind::rename, *source, *target, 0, {}});
  return done;
}
int link(const char* from, const char* to) noexcept {
  const auto source = recorder().below(from);
  const auto target = recorder().below(to);
  const int done = real<int(const char*, const char*)>("link")(from, to);
  if (done == 0 && source && target) recorder().add({Kind::link, *source, *target, 0, {}});
  return done;
}
int unlink(const char* path) noexcept {
  return changed_name("unlink", Kind::unlink, path);
}
int remove(const char* path) noexcept {
  struct stat status {};
  const bool is_folder = ::lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
  return changed_name("remove", is_folder ? Kind::remove_folder : Kind::unlink, path);
}
int rmdir(const char* path) noexcept {
  return changed_name("rmdir", Kind::remove_folder, path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  const auto below = recorder().below(path);
  const int done = real<int(const char*, mode_t)>("mkdir")(path, mode);
  if (done == 0 && below) recorder().add({Kind::make_folder, *below, {}, 0, {}});
  return done;
}
}
#pragma GCC visibility pop
