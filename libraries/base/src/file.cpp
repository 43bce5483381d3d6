#include "verge/base/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

namespace verge {
namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

Error system_error(std::string_view what, const std::filesystem::path& path, int error) {
  ErrorCode code = ErrorCode::unavailable;
  std::string_view id = "VRG-BAS-001";
  std::string_view advice;
  if (error == ENOENT || error == ENOTDIR) {
    code = ErrorCode::not_found;
    advice = "; check the path";
  } else if (error == EACCES || error == EPERM || error == EROFS) {
    code = ErrorCode::permission_denied;
    advice = "; check the owner and the rights";
  } else if (error == ENOSPC || error == EDQUOT) {
    code = ErrorCode::resource_exhausted;
    id = "VRG-BAS-002";
    advice = "; free some space and try again: nothing was changed";
  }
  return Error(code, id, fmt::format("cannot {} '{}': {}{}", what, path.string(), std::strerror(error), advice));
}

template <typename Container>
Result<Container> read_whole(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return system_error("read", path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return system_error("read", path, errno);
  if (!S_ISREG(status.st_mode)) {
    return Error(ErrorCode::invalid_argument, "VRG-BAS-005",
                 fmt::format("expected a file, got {} '{}'",
                             S_ISDIR(status.st_mode) ? "the folder" : "something else at", path.string()));
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > limit_bytes) {
    return Error(ErrorCode::resource_exhausted, "VRG-BAS-003",
                 fmt::format("'{}' is too large: expected at most {} bytes, got {}", path.string(), limit_bytes, size));
  }
  Container content;
  content.resize(size);
  std::size_t done = 0;
  while (done < content.size()) {
    const auto got = ::read(file.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("read", path, errno);
    if (got == 0) break;  // It shrank while we read; what is there is the content.
    done += static_cast<std::size_t>(got);
  }
  content.resize(done);
  return content;
}

Result<void> sync_folder(const std::filesystem::path& folder) {
  const Descriptor handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!handle.valid() || ::fsync(handle.get()) != 0) return system_error("sync", folder, errno);
  return {};
}

}  // namespace

Result<std::vector<std::byte>> read_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  return read_whole<std::vector<std::byte>>(path, limit_bytes);
}

Result<std::string> read_text(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  return read_whole<std::string>(path, limit_bytes);
}

Result<void> write_file(const std::filesystem::path& path, std::span<const std::byte> content) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::error_code made;
  std::filesystem::create_directories(folder, made);
  if (made) return system_error("make the folder", folder, made.value());
  std::string temporary = (folder / fmt::format(".{}.XXXXXX", path.filename().string())).string();
  const Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file.valid()) return system_error("write", path, errno);
  const auto fail = [&](int error) {
    ::unlink(temporary.c_str());
    return system_error("write", path, error);
  };
  std::size_t done = 0;
  while (done < content.size()) {
    const auto put = ::write(file.get(), content.data() + done, content.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail(errno);
    done += static_cast<std::size_t>(put);
  }
  if (::fchmod(file.get(), 0644) != 0 || ::fsync(file.get()) != 0) return fail(errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail(errno);
  return sync_folder(folder);
}

Result<void> write_file(const std::filesystem::path& path, std::string_view content) {
  return write_file(path, std::as_bytes(std::span(content.data(), content.size())));
}

Result<std::filesystem::path> path_inside(const std::filesystem::path& root, std::string_view relative) {
  const auto refuse = [&](std::string_view why) {
    return Error(
        ErrorCode::invalid_argument, "VRG-BAS-004",
        fmt::format("expected a path inside the package such as 'golden/cat.png', got '{}': {}", relative, why));
  };
  if (relative.empty()) return refuse("it is empty");
  for (const char c : relative) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return refuse("it has a forbidden character");
  }
  if (relative.find("//") != std::string_view::npos) return refuse("it is not in its shortest form");
  const std::filesystem::path path(relative);
  if (path.is_absolute()) return refuse("it is absolute");
  for (const auto& part : path) {
    if (part == "..") return refuse("it leads outside");
    if (part == "." || part.empty()) return refuse("it is not in its shortest form");
  }
  return root / path;
}

Result<TemporaryFolder> TemporaryFolder::create(std::string_view prefix) {
  std::error_code error;
  const auto parent = std::filesystem::temp_directory_path(error);
  if (error) return system_error("use the temporary folder", parent, error.value());
  std::string name = (parent / fmt::format("{}XXXXXX", prefix)).string();
  if (::mkdtemp(name.data()) == nullptr) return system_error("make a temporary folder in", parent, errno);
  return TemporaryFolder(std::filesystem::path(name));
}

TemporaryFolder::~TemporaryFolder() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::move(other.path_)) {
  other.path_.clear();
}

TemporaryFolder& TemporaryFolder::operator=(TemporaryFolder&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

}  // namespace verge
