#include "verge/base/file.hpp"

#include <cerrno>
#include <cstdlib>
#include <random>
#include <system_error>

#include <fmt/format.h>

#include "verge/base/file_system.hpp"

namespace verge {
namespace {

template <typename Container>
Result<Container> read_whole(FileSystem& system, const std::string& path, std::uint64_t limit_bytes) {
  const auto number = system.open(path);
  if (!number) return file_error("read", path, number.error());
  const OpenFile file(system, *number);
  const auto status = system.status(file.get());
  if (!status) return file_error("read", path, status.error());
  if (!status->is_file) {
    return Error(
        ErrorCode::invalid_argument, "VRG-BAS-005",
        fmt::format("expected a file, got {} '{}'", status->is_folder ? "the folder" : "something else at", path));
  }
  if (status->size_bytes > limit_bytes) {
    return Error(
        ErrorCode::resource_exhausted, "VRG-BAS-003",
        fmt::format("'{}' is too large: expected at most {} bytes, got {}", path, limit_bytes, status->size_bytes));
  }
  Container content;
  content.resize(status->size_bytes);
  const auto bytes = std::as_writable_bytes(std::span(content.data(), content.size()));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto got = system.read(file.get(), bytes.subspan(done));
    if (!got) return file_error("read", path, got.error());
    if (*got == 0) break;  // It shrank while we read; what is there is the content.
    done += *got;
  }
  content.resize(done);
  return content;
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// A name that no other writer of the same file has.
std::string temporary_beside(const std::filesystem::path& path) {
  std::random_device random;
  return (parent_of(path) / fmt::format(".{}.{:08x}{:08x}", path.filename().string(), random(), random())).string();
}

}  // namespace

Result<std::vector<std::byte>> read_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  return read_whole<std::vector<std::byte>>(real_file_system(), path.string(), limit_bytes);
}

Result<std::string> read_text(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  return read_whole<std::string>(real_file_system(), path.string(), limit_bytes);
}

Result<std::string> read_text(FileSystem& system, const std::string& path, std::uint64_t limit_bytes) {
  return read_whole<std::string>(system, path, limit_bytes);
}

Result<void> write_file(const std::filesystem::path& path, std::span<const std::byte> content) {
  FileSystem& system = real_file_system();
  const auto folder = parent_of(path);
  VERGE_TRY(make_durable_folder(system, folder.string()));
  VERGE_TRY(replace_file(system, path.string(), temporary_beside(path), content));
  return sync_path(system, folder.string());
}

Result<void> write_file(const std::filesystem::path& path, std::string_view content) {
  return write_file(path, std::as_bytes(std::span(content.data(), content.size())));
}

void remove_unfinished(const std::filesystem::path& folder) {
  constexpr std::size_t kRandom = 16;
  std::error_code failed;
  std::vector<std::filesystem::path> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const auto name = entry.path().filename().string();
    const auto dot = name.rfind('.');
    if (!name.starts_with('.') || dot == 0 || name.size() - dot - 1 != kRandom) continue;
    if (name.find_first_not_of("0123456789abcdef", dot + 1) == std::string::npos) left.push_back(entry.path());
  }
  for (const auto& path : left) std::filesystem::remove(path, failed);
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
  if (error) return file_error("use the temporary folder", parent.string(), error.value());
  std::string name = (parent / fmt::format("{}XXXXXX", prefix)).string();
  if (::mkdtemp(name.data()) == nullptr) return file_error("make a temporary folder in", parent.string(), errno);
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
