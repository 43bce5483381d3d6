#include "verge/hub/blobs.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "verge/base/file.hpp"

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

Result<Blobs> Blobs::open(const std::filesystem::path& folder, bool first) {
  for (const char* part : {"blobs/sha256", "blobs/sha512", "uploads"}) {
    std::error_code error;
    std::filesystem::create_directories(folder / part, error);
    if (error) return failed(folder / part, error.value());
  }
  for (const auto& parent : {folder / "blobs", folder}) {
    if (first) VERGE_TRY(sync(parent, O_RDONLY | O_DIRECTORY));
  }
  return Blobs(folder);
}

std::filesystem::path Blobs::path(std::string_view digest) const {
  const auto colon = std::min(digest.find(':'), digest.size());
  return folder_ / "blobs" / digest.substr(0, colon) / digest.substr(std::min(colon + 1, digest.size()));
}

bool Blobs::has(std::string_view digest) const {
  std::error_code ignored;
  return crypto::is_digest(digest) && std::filesystem::exists(path(digest), ignored);
}

Result<std::uint64_t> Blobs::size_bytes(std::string_view digest) const {
  std::error_code error;
  const bool known = crypto::is_digest(digest);
  const auto size = known ? std::filesystem::file_size(path(digest), error) : std::uintmax_t{0};
  if (error || !known) {
    return Error(ErrorCode::not_found, "VRG-HUB-003", fmt::format("the hub has no content with the digest {}", digest));
  }
  return size;
}

Result<std::string> Blobs::read(std::string_view digest, std::uint64_t limit_bytes) const {
  VERGE_TRY(size_bytes(digest));
  return read_text(path(digest), limit_bytes);
}

Result<std::string> Blobs::write(std::string_view content, crypto::DigestAlgorithm algorithm) const {
  auto digest = crypto::digest(algorithm, content);
  if (!has(digest)) VERGE_TRY(write_file(path(digest), content));
  return digest;
}

Result<std::vector<Blobs::Entry>> Blobs::list() const {
  std::vector<Entry> entries;
  for (const auto algorithm : {crypto::DigestAlgorithm::sha256, crypto::DigestAlgorithm::sha512}) {
    const auto folder = folder_ / "blobs" / crypto::name(algorithm);
    std::error_code error;
    std::filesystem::directory_iterator at(folder, error);
    for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
      Entry entry;
      entry.file = at->path();
      std::error_code gone;  // Deleted since.
      entry.size_bytes = std::filesystem::file_size(entry.file, gone);
      if (gone) continue;
      auto digest = fmt::format("{}:{}", crypto::name(algorithm), entry.file.filename().string());
      if (crypto::is_digest(digest)) entry.digest = std::move(digest);
      entries.push_back(std::move(entry));
    }
    if (error) {
      return Error(ErrorCode::unavailable, "VRG-BAS-001",
                   fmt::format("cannot list '{}': {}", folder.string(), error.message()));
    }
  }
  return entries;
}

Result<void> Blobs::remove(const std::filesystem::path& file) {
  std::error_code error;
  std::filesystem::remove(file, error);
  if (!error) return {};
  return Error(ErrorCode::unavailable, "VRG-BAS-001",
               fmt::format("cannot remove '{}': {}", file.string(), error.message()));
}

std::filesystem::path Blobs::upload_path(std::string_view id) const {
  return uploads() / id;
}

Result<void> Blobs::begin_upload(std::string_view id) const {
  const Descriptor file(upload_path(id), O_WRONLY | O_CREAT | O_TRUNC);
  if (file.number < 0) return failed(upload_path(id), errno);
  return {};
}

std::uint64_t Blobs::upload_size_bytes(std::string_view id) const {
  std::error_code error;
  const auto size = std::filesystem::file_size(upload_path(id), error);
  return error ? 0 : size;
}

Result<void> Blobs::append(std::string_view id, const std::filesystem::path& file, bool durable) const {
  const auto to = upload_path(id);
  if (upload_size_bytes(id) == 0) {
    if (durable) VERGE_TRY(sync(file, O_RDONLY));
    std::error_code error;
    std::filesystem::rename(file, to, error);
    if (error) return failed(to, error.value());
    return durable ? sync(uploads(), O_RDONLY | O_DIRECTORY) : Result<void>();
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
  if (durable && ::fsync(out.number) != 0) return failed(to, errno);
  return {};
}

Result<void> Blobs::cut(std::string_view id, std::uint64_t size_bytes) const {
  const auto file = upload_path(id);
  if (::truncate(file.c_str(), static_cast<off_t>(size_bytes)) != 0) return failed(file, errno);
  return sync(file, O_RDONLY);
}

Result<void> Blobs::verify(std::string_view id, std::string_view digest) const {
  const auto file = upload_path(id);
  const auto algorithm = crypto::algorithm_of(digest).value_or(crypto::DigestAlgorithm::sha256);
  VERGE_ASSIGN(const auto got, crypto::digest_of_file(algorithm, file, kBlobLimitBytes));
  if (got.digest != digest) {
    return Error(ErrorCode::data_loss, "VRG-HUB-004",
                 fmt::format("expected content with the digest {}, got {} ({} bytes); push it again", digest,
                             got.digest, got.size_bytes));
  }
  return sync(file, O_RDONLY);
}

Result<void> Blobs::adopt(std::string_view id, std::string_view digest) const {
  const auto from = upload_path(id);
  const auto to = path(digest);
  const bool linked = ::link(from.c_str(), to.c_str()) == 0 || errno == EEXIST;
  if (!linked && errno != EPERM && errno != EOPNOTSUPP) return failed(to, errno);
  if (!linked) {  // A file system without second names: a crash before the database knows the blob loses the upload.
    std::error_code error;
    std::filesystem::rename(from, to, error);
    if (error) return failed(to, error.value());
    VERGE_TRY(sync(uploads(), O_RDONLY | O_DIRECTORY));
  }
  return sync(to.parent_path(), O_RDONLY | O_DIRECTORY);
}

void Blobs::drop(std::string_view id) const {
  std::error_code ignored;
  std::filesystem::remove(upload_path(id), ignored);
}

}  // namespace verge::hub
