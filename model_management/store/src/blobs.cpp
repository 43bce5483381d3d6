#include "verge/hub/blobs.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::hub {
namespace {

constexpr std::uint64_t kBlobLimitBytes = std::uint64_t{64} << 30U;

Error failed(const std::filesystem::path& path, int number) {
  const bool full = number == ENOSPC || number == EDQUOT;
  return Error(
      full ? ErrorCode::resource_exhausted : ErrorCode::unavailable, full ? "VRG-BAS-002" : "VRG-BAS-001",
      fmt::format("cannot write '{}': {}{}", path.string(), std::strerror(number), full ? "; free some space" : ""));
}

/// Closes when it goes.
struct Descriptor {
  int number = -1;
  Descriptor(const std::filesystem::path& path, int flags) : number(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

Result<void> sync(const std::filesystem::path& path, int flags) {
  const Descriptor file(path, flags);
  if (file.number < 0 || ::fsync(file.number) != 0) return failed(path, errno);
  return {};
}

}  // namespace

Result<Blobs> Blobs::open(const std::filesystem::path& folder) {
  for (const char* part : {"blobs/sha256", "uploads"}) {
    std::error_code error;
    std::filesystem::create_directories(folder / part, error);
    if (error) return failed(folder / part, error.value());
  }
  return Blobs(folder);
}

std::filesystem::path Blobs::path(std::string_view digest) const {
  return folder_ / "blobs" / "sha256" / digest.substr(digest.find(':') + 1);
}

bool Blobs::has(std::string_view digest) const {
  std::error_code ignored;
  return crypto::is_sha256(digest) && std::filesystem::exists(path(digest), ignored);
}

Result<std::uint64_t> Blobs::size_bytes(std::string_view digest) const {
  std::error_code error;
  const auto size = crypto::is_sha256(digest) ? std::filesystem::file_size(path(digest), error) : std::uintmax_t{0};
  if (error || !crypto::is_sha256(digest)) {
    return Error(ErrorCode::not_found, "VRG-HUB-003", fmt::format("the hub has no content with the digest {}", digest));
  }
  return size;
}

Result<std::string> Blobs::read(std::string_view digest, std::uint64_t limit_bytes) const {
  VERGE_TRY(size_bytes(digest));
  return read_text(path(digest), limit_bytes);
}

Result<std::string> Blobs::write(std::string_view content) {
  auto digest = crypto::sha256(content);
  if (!has(digest)) VERGE_TRY(write_file(path(digest), content));
  return digest;
}

void Blobs::remove(std::string_view digest) const {
  std::error_code ignored;
  std::filesystem::remove(path(digest), ignored);
}

std::filesystem::path Blobs::upload_path(std::string_view id) const {
  return uploads() / id;
}

Result<void> Blobs::begin_upload(std::string_view id) const {
  const Descriptor file(upload_path(id), O_WRONLY | O_CREAT | O_TRUNC);
  if (file.number < 0 || ::fsync(file.number) != 0) return failed(upload_path(id), errno);
  return sync(uploads(), O_RDONLY | O_DIRECTORY);
}

std::uint64_t Blobs::upload_size_bytes(std::string_view id) const {
  std::error_code error;
  const auto size = std::filesystem::file_size(upload_path(id), error);
  return error ? 0 : size;
}

Result<void> Blobs::append(std::string_view id, const std::filesystem::path& file) const {
  const auto to = upload_path(id);
  if (upload_size_bytes(id) == 0) {
    VERGE_TRY(sync(file, O_RDONLY));
    std::error_code error;
    std::filesystem::rename(file, to, error);
    if (error) return failed(to, error.value());
    return sync(uploads(), O_RDONLY | O_DIRECTORY);
  }
  const Descriptor in(file, O_RDONLY);
  const Descriptor out(to, O_WRONLY | O_APPEND);
  if (in.number < 0 || out.number < 0) return failed(to, errno);
  static constexpr std::size_t kPiece = std::size_t{1} << 20U;
  std::string piece(kPiece, '\0');
  for (;;) {
    const auto got = ::read(in.number, piece.data(), piece.size());
    if (got < 0) return failed(file, errno);
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      const auto written = ::write(out.number, piece.data() + done, static_cast<std::size_t>(got - done));
      if (written < 0) return failed(to, errno);
      done += written;
    }
  }
  if (::fsync(out.number) != 0) return failed(to, errno);
  return {};
}

Result<void> Blobs::finish(std::string_view id, std::string_view digest) const {
  const auto from = upload_path(id);
  VERGE_ASSIGN(const auto got, crypto::sha256_of_file(from, kBlobLimitBytes));
  if (got.digest != digest) {
    return Error(ErrorCode::data_loss, "VRG-HUB-004",
                 fmt::format("expected content with the digest {}, got {} ({} bytes); push it again", digest,
                             got.digest, got.size_bytes));
  }
  VERGE_TRY(sync(from, O_RDONLY));
  std::error_code error;
  std::filesystem::rename(from, path(digest), error);
  if (error) return failed(path(digest), error.value());
  return sync(path(digest).parent_path(), O_RDONLY | O_DIRECTORY);
}

void Blobs::drop(std::string_view id) const {
  std::error_code ignored;
  std::filesystem::remove(upload_path(id), ignored);
}

}  // namespace verge::hub
