#include "body_file.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace verge::http {

bool BodyFile::create(const std::filesystem::path& folder) {
  reset();
  std::string name = (folder / "body.XXXXXX").string();
  descriptor_ = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) return false;
  path_ = name;
  piece.resize(kPieceBytes);
  return true;
}

bool BodyFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

void BodyFile::close() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  piece = {};
}

void BodyFile::reset() noexcept {
  close();
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
}

bool FilePiece::open(const std::filesystem::path& file, std::uint64_t offset_bytes, std::uint64_t length_bytes) {
  reset();
  descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor_ < 0 || fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const auto size_bytes = static_cast<std::uint64_t>(status.st_size);
  if (offset_bytes > size_bytes || length_bytes > size_bytes - offset_bytes) return false;
  offset_bytes_ = offset_bytes;
  left_bytes_ = length_bytes;
  return true;
}

std::span<const std::byte> FilePiece::next() {
  piece_.resize(kPieceBytes);
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, left_bytes_));
  ssize_t got = 0;
  do {
    got = ::pread(descriptor_, piece_.data(), wanted, static_cast<off_t>(offset_bytes_));
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return {};
  offset_bytes_ += static_cast<std::uint64_t>(got);
  left_bytes_ -= static_cast<std::uint64_t>(got);
  return std::span(piece_).first(static_cast<std::size_t>(got));
}

void FilePiece::reset() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  left_bytes_ = 0;
  piece_ = {};
}

}  // namespace verge::http
