#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "verge/delta/delta.hpp"

namespace verge::delta {
namespace {

Error file_error(const std::filesystem::path& file, int number) {
  return Error(
      number == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable, "VRG-DLT-005",
      fmt::format("cannot read '{}': {}", file.string(), std::error_code(number, std::generic_category()).message()));
}

/// Closes itself with the last who reads it.
struct OpenFile {
  int descriptor = -1;
  explicit OpenFile(int number) : descriptor(number) {}
  ~OpenFile() {
    if (descriptor >= 0) ::close(descriptor);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  OpenFile(OpenFile&&) = delete;
  OpenFile& operator=(OpenFile&&) = delete;
};

}  // namespace

Result<Source> open_source(const std::filesystem::path& file) {
  auto open = std::make_shared<OpenFile>(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (open->descriptor < 0 || ::fstat(open->descriptor, &status) != 0) return file_error(file, errno);
  if (!S_ISREG(status.st_mode)) return file_error(file, EINVAL);
  Source source;
  source.size_bytes = static_cast<std::uint64_t>(status.st_size);
  source.read = [open, file](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
    while (!into.empty()) {
      const auto got = ::pread(open->descriptor, into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return file_error(file, got < 0 ? errno : EIO);
      into = into.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return {};
  };
  return source;
}

}  // namespace verge::delta
