#include "verge/update/encrypted_files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "store_folders.hpp"
#include "verge/crypto/sha256.hpp"

namespace verge::update {
namespace {

/// Between two packages, where nothing else belongs: what a crash leaves there goes when the store is tidied.
constexpr const char* kLinkOnItsWay = "store/packages/.link.part";

bool is_on_its_way(const std::string& name) {
  const auto folder = folder_of(name);
  return folder == kPartialFolder || folder == kPulledPartialFolder;
}

bool is_damage(const Error& error) {
  return error.id() == "VRG-RST-001" || error.id() == "VRG-RST-002" || error.id() == "VRG-RST-003";
}

class OpenedEncryptedFile final : public OpenedFile {
 public:
  explicit OpenedEncryptedFile(at_rest::Reader reader) : reader_(std::move(reader)) {}
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return reader_.size_bytes(); }
  Result<void> read(std::uint64_t offset_bytes, std::span<std::byte> into) override {
    auto got = reader_.read(offset_bytes, into);
    if (got || got.error().code() != ErrorCode::out_of_range) return got;
    return Error(ErrorCode::data_loss, "VRG-UPD-018",
                 fmt::format("expected {} bytes at {}, got the end of the file", into.size(), offset_bytes));
  }

 private:
  at_rest::Reader reader_;
};

}  // namespace

bool is_encrypted(const std::string& name) {
  if (name.starts_with(kStoreFolder)) return true;
  const auto folder = folder_of(name);
  return folder == kPulledFolder || folder == kPulledPartialFolder;
}

void EncryptedFiles::forget(const std::string& name) {
  std::erase_if(growing_, [&](const auto& one) {
    return one.first == name || (one.first.starts_with(name) && one.first[name.size()] == '/');
  });
}

at_rest::Sink EncryptedFiles::end_of(const std::string& name) {
  return [this, name](std::span<const std::byte> bytes) { return stored_.append(name, bytes); };
}

/// A file that is on its way, as it is or as a run before has left it; a new one when there is none.
Result<EncryptedFiles::Growing*> EncryptedFiles::growing(const std::string& name) {
  if (const auto found = growing_.find(name); found != growing_.end()) return &found->second;
  auto opened = stored_.open(name);
  if (!opened && opened.error().code() != ErrorCode::not_found) return std::move(opened).error();
  if (!opened) return &growing_.emplace(name, Growing{at_rest::GrowingFile::begin(keys_)}).first->second;
  const auto size_bytes = (*opened)->size_bytes();
  auto resumed = at_rest::GrowingFile::resume(stored(std::move(*opened)), keys_);
  if (!resumed && !is_damage(resumed.error())) return std::move(resumed).error();
  Growing grown{resumed ? std::move(*resumed) : at_rest::GrowingFile::begin(keys_)};
  grown.torn = grown.file.stored_bytes() < size_bytes;
  return &growing_.emplace(name, std::move(grown)).first->second;
}

/// Takes away what is not good.
Result<void> EncryptedFiles::cut(const std::string& name, Growing& grown) {
  if (!grown.torn) return {};
  if (grown.file.stored_bytes() == 0) {
    VERGE_TRY(stored_.remove(name));
  } else {
    VERGE_ASSIGN(const auto old, stored_.open(name));
    const auto copy_good = [&](const at_rest::Sink& sink) -> Result<void> {
      std::vector<std::byte> piece(at_rest::kChunkBytes);
      for (std::uint64_t at = 0; at < grown.file.stored_bytes(); at += piece.size()) {
        piece.resize(std::min<std::uint64_t>(piece.size(), grown.file.stored_bytes() - at));
        VERGE_TRY(old->read(at, piece));
        VERGE_TRY(sink(piece));
      }
      return {};
    };
    VERGE_TRY(replace(stored_, name, copy_good));
  }
  grown.torn = false;
  return {};
}

Result<void> EncryptedFiles::finish(const std::string& name) {
  VERGE_ASSIGN(Growing * grown, growing(name));
  auto done = cut(name, *grown);
  if (done) done = grown->file.finish(end_of(name));
  if (!done) growing_.erase(name);  // What is stored of it is looked at anew.
  return done;
}

Result<at_rest::Reader> EncryptedFiles::reader(const std::string& name) {
  VERGE_ASSIGN(auto file, stored_.open(name));
  if (is_on_its_way(name)) {
    VERGE_ASSIGN(const Growing* grown, growing(name));
    return grown->file.reader(stored(std::move(file)));
  }
  return at_rest::Reader::open(stored(std::move(file)), keys_);
}

Result<std::unique_ptr<OpenedFile>> EncryptedFiles::open(const std::string& name) {
  if (!is_encrypted(name)) return stored_.open(name);
  const std::lock_guard lock(mutex_);
  VERGE_ASSIGN(auto found, reader(name));
  return std::make_unique<OpenedEncryptedFile>(std::move(found));
}

Result<std::string> EncryptedFiles::read(const std::string& name, std::uint64_t limit_bytes) {
  if (!is_encrypted(name)) return stored_.read(name, limit_bytes);
  const std::lock_guard lock(mutex_);
  VERGE_ASSIGN(auto found, reader(name));
  if (found.size_bytes() > limit_bytes) {
    return Error(
        ErrorCode::resource_exhausted, "VRG-BAS-003",
        fmt::format("'{}' is too large: expected at most {} bytes, got {}", name, limit_bytes, found.size_bytes()));
  }
  std::string content(static_cast<std::size_t>(found.size_bytes()), '\0');
  VERGE_TRY(found.read(0, std::as_writable_bytes(std::span(content))));
  return content;
}

Result<void> EncryptedFiles::write(const std::string& name, std::string_view content) {
  if (!is_encrypted(name)) return stored_.write(name, content);
  const std::lock_guard lock(mutex_);
  forget(name);
  const auto encrypted = at_rest::encrypt(std::as_bytes(std::span(content)), keys_);
  return stored_.write(name, {reinterpret_cast<const char*>(encrypted.data()), encrypted.size()});
}

Result<void> EncryptedFiles::append(const std::string& name, std::span<const std::byte> bytes) {
  if (!is_encrypted(name)) return stored_.append(name, bytes);
  const std::lock_guard lock(mutex_);
  VERGE_ASSIGN(Growing * grown, growing(name));
  if (bytes.empty() && grown->file.stored_bytes() > 0) return {};
  if (grown->file.is_finished()) {
    grown->file.reopen();
    grown->torn = true;
  }
  auto done = cut(name, *grown);
  if (done) done = grown->file.append(bytes, end_of(name));
  if (!done) growing_.erase(name);
  return done;
}

Result<void> EncryptedFiles::sync(const std::string& name) {
  if (is_on_its_way(name)) {
    const std::lock_guard lock(mutex_);
    VERGE_TRY(stored_.size(name));
    VERGE_TRY(finish(name));
  }
  return stored_.sync(name);
}

Result<std::uint64_t> EncryptedFiles::size(const std::string& name) {
  VERGE_ASSIGN(const auto stored_bytes, stored_.size(name));
  if (!is_encrypted(name)) return stored_bytes;
  const std::lock_guard lock(mutex_);
  if (is_on_its_way(name)) {
    VERGE_ASSIGN(const Growing* grown, growing(name));
    return grown->file.size_bytes();
  }
  // Of a size that no finished file has: nothing of it can be relied on.
  return at_rest::content_size(stored_bytes).value_or(0);
}

Result<std::string> EncryptedFiles::digest(const std::string& name) {
  if (!is_encrypted(name)) return stored_.digest(name);
  const std::lock_guard lock(mutex_);
  crypto::Sha256 digest;
  auto found = reader(name);
  const auto read = found ? found->read_all([&](std::span<const std::byte> piece) -> Result<void> {
    digest.update(piece);
    return {};
  })
                          : Result<void>(found.error());
  if (read) return digest.finish();
  if (is_damage(read.error())) return fmt::format("none ({})", read.error().text());
  return read.error();
}

Result<void> EncryptedFiles::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (is_on_its_way(from)) {
    VERGE_TRY(finish(from));
  }
  VERGE_TRY(stored_.rename(from, to));
  forget(from);
  forget(to);
  return {};
}

Result<void> EncryptedFiles::link(const std::string& from, const std::string& to) {
  return stored_.link(from, to);
}

bool EncryptedFiles::same(const std::string& a, const std::string& b) {
  return stored_.same(a, b);
}

Result<void> EncryptedFiles::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  VERGE_TRY(stored_.remove(name));
  forget(name);
  return {};
}

Result<std::vector<std::string>> EncryptedFiles::list(const std::string& folder) {
  return stored_.list(folder);
}

void EncryptedFiles::remove_unfinished(const std::string& folder) {
  stored_.remove_unfinished(folder);
}

std::uint64_t EncryptedFiles::free_bytes() {
  return stored_.free_bytes();
}

Result<bool> EncryptedFiles::has_old_key(const std::string& name) {
  VERGE_ASSIGN(const auto key, stored_key(stored_, name));
  return key && *key != keys_.current().first;
}

/// With the names that packages have for it.
Result<void> EncryptedFiles::renew(const std::string& name) {
  std::vector<std::string> links;
  VERGE_ASSIGN(const auto packaged, files_below(stored_, kPackagesFolder));
  for (const auto& one : packaged) {
    if (stored_.same(name, one)) links.push_back(one);
  }
  VERGE_ASSIGN(auto old, reader(name));
  auto renewed = at_rest::GrowingFile::begin(keys_);
  const auto encrypt_anew = [&](const at_rest::Sink& sink) -> Result<void> {
    VERGE_TRY(old.read_all([&](std::span<const std::byte> piece) { return renewed.append(piece, sink); }));
    return renewed.finish(sink);
  };
  VERGE_TRY(replace(stored_, name, encrypt_anew));
  growing_.erase(name);
  for (const auto& one : links) {
    VERGE_TRY(stored_.remove(kLinkOnItsWay));
    VERGE_TRY(stored_.link(name, kLinkOnItsWay));
    VERGE_TRY(stored_.rename(kLinkOnItsWay, one));
  }
  return {};
}

Result<bool> EncryptedFiles::renew_one() {
  const std::lock_guard lock(mutex_);
  for (const auto* folder : kContentFolders) {
    VERGE_ASSIGN(const auto names, files_below(stored_, folder));
    for (const auto& name : names) {
      VERGE_ASSIGN(const bool old, has_old_key(name));
      if (!old) continue;
      const auto renewed = renew(name);
      if (renewed) return true;
      if (!is_damage(renewed.error())) return renewed.error();
      VERGE_TRY(stored_.remove(name));  // Damaged: the check before it is run next would say so.
      growing_.erase(name);
      return true;
    }
  }
  // What no blob is behind any more: a crash came between a blob and its links.
  VERGE_ASSIGN(const auto packaged, files_below(stored_, kPackagesFolder));
  for (const auto& name : packaged) {
    VERGE_ASSIGN(const bool old, has_old_key(name));
    if (!old) continue;
    VERGE_TRY(stored_.remove(name));  // It is linked anew before the package is run next.
    return true;
  }
  return false;
}

Result<bool> EncryptedFiles::has_old() {
  const std::lock_guard lock(mutex_);
  std::vector<const char*> folders(kContentFolders.begin(), kContentFolders.end());
  folders.push_back(kPackagesFolder);
  for (const auto* folder : folders) {
    VERGE_ASSIGN(const auto names, files_below(stored_, folder));
    for (const auto& name : names) {
      VERGE_ASSIGN(const bool old, has_old_key(name));
      if (old) return true;
    }
  }
  // One that is on its way may have no byte on the disk yet.
  const auto current = keys_.current().first;
  return std::ranges::any_of(growing_, [&](const auto& one) { return one.second.file.key() != current; });
}

}  // namespace verge::update
