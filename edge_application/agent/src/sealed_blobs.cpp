#include "sealed_blobs.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>

#include <fmt/format.h>

#include "verge/at_rest/secret.hpp"
#include "verge/base/file_system.hpp"
#include "verge/update/encrypted_files.hpp"

namespace verge::agent {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20U;

std::string hex(const std::string& digest) {
  return digest.substr(digest.find(':') + 1);
}

std::string name_of(const std::string& digest) {
  return fmt::format("{}/{}", update::kPulledFolder, hex(digest));
}

}  // namespace

Result<std::string> SealedBlobs::read(const std::string& digest, std::uint64_t limit_bytes) {
  return files_.read(name_of(digest), limit_bytes);
}

Result<registry_client::Blobs::Found> SealedBlobs::look(const std::string& digest) {
  VERGE_ASSIGN(auto got, files_.digest(name_of(digest)));
  VERGE_ASSIGN(const auto size_bytes, files_.size(name_of(digest)));
  return Found{std::move(got), size_bytes};
}

Result<void> SealedBlobs::write(const std::string& digest, std::string_view content) {
  return files_.write(name_of(digest), content);
}

Result<void> SealedBlobs::put(const std::string& digest, const std::filesystem::path& file,
                              const std::filesystem::path&) {
  const auto incoming = fmt::format("{}/{}", update::kPulledPartialFolder, hex(digest));
  VERGE_TRY(files_.remove(incoming));  // Of a run that was killed.
  std::ifstream plain(file, std::ios::binary);
  if (!plain) return file_error("read", file.string(), errno);
  VERGE_TRY(files_.append(incoming, {}));
  at_rest::PlainBytes piece(kPieceBytes);
  while (plain.read(reinterpret_cast<char*>(piece.data()), static_cast<std::streamsize>(piece.size())) ||
         plain.gcount() > 0) {
    VERGE_TRY(files_.append(incoming, std::span(piece).first(static_cast<std::size_t>(plain.gcount()))));
  }
  if (plain.bad()) return file_error("read", file.string(), EIO);
  VERGE_TRY(files_.sync(incoming));
  VERGE_TRY(files_.rename(incoming, name_of(digest)));
  return files_.sync(update::kPulledFolder);
}

Result<std::filesystem::path> SealedBlobs::file(const std::string& digest, const std::filesystem::path& scratch) {
  VERGE_ASSIGN(const auto sealed, files_.open(name_of(digest)));
  const auto path = scratch / hex(digest);
  std::ofstream plain(path, std::ios::binary | std::ios::trunc);
  at_rest::PlainBytes piece(kPieceBytes);
  for (std::uint64_t at = 0; plain && at < sealed->size_bytes(); at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), sealed->size_bytes() - at));
    VERGE_TRY(sealed->read(at, piece));
    plain.write(reinterpret_cast<const char*>(piece.data()), static_cast<std::streamsize>(piece.size()));
  }
  plain.close();
  if (!plain) return file_error("write", path.string(), errno);
  return path;
}

Result<std::vector<std::string>> SealedBlobs::list() {
  VERGE_ASSIGN(auto names, files_.list(update::kPulledFolder));
  for (auto& name : names) name.insert(0, "sha256:");
  return names;
}

Result<void> SealedBlobs::remove(const std::string& digest) {
  return files_.remove(name_of(digest));
}

}  // namespace verge::agent
