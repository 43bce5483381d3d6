// A store that was plain and is to be encrypted, or the other way.
#include <algorithm>

#include <fmt/format.h>

#include "store_folders.hpp"
#include "verge/update/encrypted_files.hpp"

namespace verge::update {
namespace {

/// Changes each file of content once: `change` leaves alone what is done already.
Result<void> change_all(Files& stored, const std::function<Result<void>(const std::string& name)>& change) {
  for (const auto* folder : kContentFolders) stored.remove_unfinished(folder);
  // Links to what is replaced would keep it. They are made anew before a package is run.
  VERGE_TRY(stored.remove(kPackagesFolder));
  VERGE_TRY(stored.remove(kPulledPartialFolder));
  for (const auto* folder : kContentFolders) {
    VERGE_ASSIGN(const auto names, stored.list(folder));
    for (const auto& name : names) VERGE_TRY(change(fmt::format("{}/{}", folder, name)));
  }
  return {};
}

Result<void> encrypt_one(Files& files, const std::string& name, const at_rest::DataKeys& keys) {
  VERGE_ASSIGN(const auto key, stored_key(files, name));
  if (key && keys.find(*key) != nullptr) return {};
  if (key) return files.remove(name);
  VERGE_ASSIGN(const auto plain, files.open(name));
  auto encrypted = at_rest::GrowingFile::begin(keys);
  return replace(files, name, [&](const at_rest::Sink& sink) -> Result<void> {
    at_rest::PlainBytes piece(at_rest::kChunkBytes);
    for (std::uint64_t at = 0; at < plain->size_bytes(); at += piece.size()) {
      piece.resize(std::min<std::uint64_t>(piece.size(), plain->size_bytes() - at));
      VERGE_TRY(plain->read(at, piece));
      VERGE_TRY(encrypted.append(piece, sink));
    }
    return encrypted.finish(sink);
  });
}

Result<void> decrypt_one(Files& files, const std::string& name, const at_rest::DataKeys& keys) {
  VERGE_ASSIGN(const auto key, stored_key(files, name));
  if (!key) return {};
  VERGE_ASSIGN(auto opened, files.open(name));
  const std::shared_ptr<OpenedFile> file = std::move(opened);
  auto encrypted = at_rest::GrowingFile::resume(stored(file), keys);
  if (!encrypted && encrypted.error().code() == ErrorCode::unavailable) return encrypted.error();
  if (!encrypted) return files.remove(name);  // Damaged: the hub sends it again.
  return replace(files, name,
                 [&](const at_rest::Sink& sink) { return encrypted->reader(stored(file)).read_all(sink); });
}

}  // namespace

Result<void> encrypt_store(Files& stored, const at_rest::DataKeys& keys) {
  return change_all(stored, [&](const std::string& name) { return encrypt_one(stored, name, keys); });
}

Result<void> decrypt_store(Files& stored, const at_rest::DataKeys& keys) {
  return change_all(stored, [&](const std::string& name) { return decrypt_one(stored, name, keys); });
}

Result<void> clear_store(Files& stored) {
  for (const auto* folder : {kPackagesFolder, kPartialFolder, "store/blobs", "registry"})
    VERGE_TRY(stored.remove(folder));
  return {};
}

}  // namespace verge::update
