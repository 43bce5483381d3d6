#include "sealed_archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "verge/at_rest/encrypted_file.hpp"
#include "verge/at_rest/passphrase.hpp"
#include "verge/base/file.hpp"
#include "verge/base/file_system.hpp"

namespace verge::hub {
namespace {

constexpr std::string_view kMagic = "VRGBKUP1";
constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kPrefixBytes = 64;
constexpr std::size_t kPieceBytes = std::size_t{256} << 10U;

using Prefix = std::array<std::byte, kPrefixBytes>;

struct Close {
  void operator()(archive* a) const noexcept { archive_free(a); }
  void operator()(archive_entry* e) const noexcept { archive_entry_free(e); }
};
using Archive = std::unique_ptr<archive, Close>;
using Entry = std::unique_ptr<archive_entry, Close>;

std::span<std::byte> salt_of(Prefix& prefix) {
  return std::span(prefix).subspan(kMagic.size(), kSaltBytes);
}

Prefix new_prefix() {
  Prefix prefix{};
  std::memcpy(prefix.data(), kMagic.data(), kMagic.size());
  std::ranges::copy(at_rest::Secret::random().bytes(), salt_of(prefix).begin());
  return prefix;
}

/// The one key that everything in the file is encrypted with.
void set_key(at_rest::DataKeys& keys, std::string_view passphrase, Prefix& prefix) {
  auto key = at_rest::key_of_passphrase(passphrase, salt_of(prefix));
  keys.add({}, std::make_shared<const at_rest::Secret>(std::move(key)));
}

Error no_backup(const std::filesystem::path& file, std::string_view why) {
  return Error(ErrorCode::data_loss, "VRG-HUB-091",
               fmt::format("expected a backup that 'verge-hub backup' made, got '{}', {}; choose another file",
                           file.string(), why));
}

/// The archive's writer, whose output goes through the cipher into a file.
class Sealer {
 public:
  Sealer(FileSystem& system, std::string path, int number, const at_rest::DataKeys& keys)
      : path_(std::move(path)), file_(system, number), cipher_(at_rest::GrowingFile::begin(keys)) {
    // Sizes above 8 GiB need what pax adds; all else is plain ustar.
    archive_write_set_format_pax_restricted(tar_.get());
  }

  Result<void> begin(const Prefix& prefix) {
    VERGE_TRY(store(prefix));
    return done(archive_write_open2(tar_.get(), this, nullptr, take, nullptr, nullptr));
  }
  Result<void> add(const std::string& name, std::uint64_t size_bytes) {
    const Entry entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size_bytes));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0600);
    return done(archive_write_header(tar_.get(), entry.get()));
  }
  Result<void> put(std::span<const std::byte> bytes) {
    const auto put = archive_write_data(tar_.get(), bytes.data(), bytes.size());
    return done(put == static_cast<la_ssize_t>(bytes.size()) ? ARCHIVE_OK : ARCHIVE_FATAL);
  }
  Result<void> finish() {
    VERGE_TRY(done(archive_write_close(tar_.get())));
    return cipher_.finish([this](std::span<const std::byte> bytes) { return store(bytes); });
  }

 private:
  Result<void> store(std::span<const std::byte> bytes) {
    const auto written = file_.write_all(bytes);
    return written ? Result<void>() : file_error("write", path_, written.error());
  }
  static la_ssize_t take(archive* tar, void* self, const void* bytes, std::size_t size) {
    auto& sealer = *static_cast<Sealer*>(self);
    const auto taken = sealer.cipher_.append(std::span(static_cast<const std::byte*>(bytes), size),
                                             [&](std::span<const std::byte> more) { return sealer.store(more); });
    if (taken) return static_cast<la_ssize_t>(size);
    if (!sealer.failed_) sealer.failed_ = taken.error();
    archive_set_error(tar, EIO, "not written");
    return -1;
  }
  Result<void> done(int status) {
    if (failed_) return *failed_;
    if (status == ARCHIVE_OK) return {};
    const char* why = archive_error_string(tar_.get());
    return Error(ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot write '{}': {}", path_, why == nullptr ? "unknown reason" : why));
  }

  std::string path_;
  OpenFile file_;
  at_rest::GrowingFile cipher_;
  std::optional<Error> failed_;
  Archive tar_{archive_write_new()};  ///< The first to go: it writes until then.
};

/// Names of all plain files below `folder`, relative to it, in order.
Result<std::vector<std::string>> files_below(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::recursive_directory_iterator at(folder, error);
  for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    if (at->symlink_status().type() != std::filesystem::file_type::regular) continue;
    names.push_back(at->path().lexically_relative(folder).string());
  }
  if (error) return file_error("list", folder.string(), error.value());
  std::ranges::sort(names);
  return names;
}

/// Its size.
Result<std::uint64_t> add_file(Sealer& sealer, const std::filesystem::path& folder, const std::string& name) {
  FileSystem& system = real_file_system();
  const auto path = (folder / name).string();
  const auto number = system.open(path);
  if (!number) return file_error("read", path, number.error());
  const OpenFile file(system, *number);
  const auto status = system.status(file.get());
  if (!status) return file_error("read", path, status.error());
  VERGE_TRY(sealer.add(name, status->size_bytes));
  std::vector<std::byte> piece(kPieceBytes);
  for (auto left = status->size_bytes; left > 0;) {
    const auto got =
        system.read(file.get(), std::span(piece).first(static_cast<std::size_t>(std::min(left, kPieceBytes))));
    if (!got || *got == 0) return file_error("read", path, got ? EIO : got.error());
    VERGE_TRY(sealer.put(std::span(piece).first(*got)));
    left -= *got;
  }
  return status->size_bytes;
}

Result<BackupContent> seal_into(FileSystem& system, int number, const std::filesystem::path& folder,
                                const std::string& path, std::string_view passphrase) {
  auto prefix = new_prefix();
  at_rest::DataKeys keys;
  set_key(keys, passphrase, prefix);
  Sealer sealer(system, path, number, keys);
  VERGE_TRY(sealer.begin(prefix));
  BackupContent content;
  VERGE_ASSIGN(const auto names, files_below(folder));
  for (const auto& name : names) {
    VERGE_ASSIGN(const auto size_bytes, add_file(sealer, folder, name));
    ++content.files;
    content.size_bytes += size_bytes;
  }
  VERGE_TRY(sealer.finish());
  if (const auto synced = system.sync(number); !synced) return file_error("write", path, synced.error());
  return content;
}

/// The archive's reader, whose input comes out of the cipher.
class Unsealer {
 public:
  explicit Unsealer(at_rest::Reader content) : content_(std::move(content)), piece_(at_rest::kChunkBytes) {
    archive_read_support_format_tar(tar_.get());
  }

  Result<void> begin() { return done(archive_read_open(tar_.get(), this, nullptr, give, nullptr)); }
  /// The next file; null: there is none.
  Result<archive_entry*> next() {
    archive_entry* entry = nullptr;
    const int got = archive_read_next_header(tar_.get(), &entry);
    if (got == ARCHIVE_EOF && !failed_) return static_cast<archive_entry*>(nullptr);
    VERGE_TRY(done(got));
    return entry;
  }
  /// What comes next of the file; empty: that was all.
  Result<std::span<const std::byte>> read(std::span<std::byte> into) {
    const auto got = archive_read_data(tar_.get(), into.data(), into.size());
    if (got < 0) VERGE_TRY(done(ARCHIVE_FATAL));
    return std::span<const std::byte>(into).first(static_cast<std::size_t>(std::max<la_ssize_t>(got, 0)));
  }

 private:
  static la_ssize_t give(archive* tar, void* self, const void** bytes) {
    auto& unsealer = *static_cast<Unsealer*>(self);
    const auto size =
        std::min<std::uint64_t>(unsealer.content_.size_bytes() - unsealer.at_bytes_, unsealer.piece_.size());
    const auto piece = std::span(unsealer.piece_).first(static_cast<std::size_t>(size));
    if (const auto got = unsealer.content_.read(unsealer.at_bytes_, piece); !got) {
      unsealer.failed_ = got.error();
      archive_set_error(tar, EIO, "not read");
      return -1;
    }
    unsealer.at_bytes_ += size;
    *bytes = piece.data();
    return static_cast<la_ssize_t>(size);
  }
  Result<void> done(int status) {
    if (failed_) return *failed_;
    if (status == ARCHIVE_OK) return {};
    const char* why = archive_error_string(tar_.get());
    return Error(
        ErrorCode::data_loss, "VRG-HUB-091",
        fmt::format("the archive in the backup is damaged: {}; take an older one", why == nullptr ? "?" : why));
  }

  at_rest::Reader content_;
  at_rest::PlainBytes piece_;
  std::uint64_t at_bytes_ = 0;
  std::optional<Error> failed_;
  Archive tar_{archive_read_new()};
};

/// A new file with what comes next of the archive.
Result<std::uint64_t> write_next(Unsealer& unsealer, const std::string& path) {
  FileSystem& system = real_file_system();
  const auto number = system.create(path);
  if (!number) return file_error("write", path, number.error());
  const OpenFile file(system, *number);
  at_rest::PlainBytes piece(kPieceBytes);
  std::uint64_t size_bytes = 0;
  for (;;) {
    VERGE_ASSIGN(const auto got, unsealer.read(piece));
    if (got.empty()) break;
    if (const auto written = file.write_all(got); !written) return file_error("write", path, written.error());
    size_bytes += got.size();
  }
  if (const auto synced = system.sync(file.get()); !synced) return file_error("write", path, synced.error());
  return size_bytes;
}

Result<BackupContent> unseal_all(Unsealer& unsealer, const std::filesystem::path& folder) {
  FileSystem& system = real_file_system();
  VERGE_TRY(unsealer.begin());
  VERGE_TRY(make_durable_folder(system, folder.string()));
  std::error_code failed;
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failed);
  if (failed) return file_error("close to others", folder.string(), failed.value());
  std::set<std::filesystem::path> folders;
  BackupContent content;
  for (;;) {
    VERGE_ASSIGN(archive_entry* const entry, unsealer.next());
    if (entry == nullptr) break;
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
      return Error(
          ErrorCode::data_loss, "VRG-HUB-091",
          fmt::format("expected plain files in the backup, got '{}'; take another one", name == nullptr ? "?" : name));
    }
    VERGE_ASSIGN(const auto path, path_inside(folder, name));
    VERGE_TRY(make_durable_folder(system, path.parent_path().string()));
    VERGE_ASSIGN(const auto size_bytes, write_next(unsealer, path.string()));
    folders.insert(path.parent_path());
    ++content.files;
    content.size_bytes += size_bytes;
  }
  for (const auto& one : folders) VERGE_TRY(sync_path(system, one.string()));
  return content;
}

}  // namespace

Result<BackupContent> seal_folder(const std::filesystem::path& folder, const std::filesystem::path& file,
                                  std::string_view passphrase) {
  FileSystem& system = real_file_system();
  const auto path = file.string();
  const auto part = path + ".part";
  (void)system.unlink(part).has_value();  // Of one that was cut off.
  const auto number = system.create(part);
  if (!number) return file_error("write", path, number.error());
  auto sealed = seal_into(system, *number, folder, path, passphrase);
  const auto renamed = sealed ? system.rename(part, path) : Called<void>();
  if (!sealed || !renamed) (void)system.unlink(part).has_value();
  if (!renamed) return file_error("write", path, renamed.error());
  if (!sealed) return sealed;
  VERGE_TRY(sync_path(system, file.has_parent_path() ? file.parent_path().string() : "."));
  return sealed;
}

Result<BackupContent> unseal_folder(const std::filesystem::path& file, const std::filesystem::path& folder,
                                    std::string_view passphrase) {
  FileSystem& system = real_file_system();
  const auto number = system.open(file.string());
  if (!number) return file_error("read", file.string(), number.error());
  const OpenFile opened(system, *number);
  const auto status = system.status(opened.get());
  if (!status) return file_error("read", file.string(), status.error());
  const auto read = [&](std::uint64_t offset_bytes, std::span<std::byte> into) -> Result<void> {
    while (!into.empty()) {
      const auto got = system.read_at(opened.get(), offset_bytes, into);
      if (!got || *got == 0) return file_error("read", file.string(), got ? EIO : got.error());
      into = into.subspan(*got);
      offset_bytes += *got;
    }
    return {};
  };
  if (!status->is_file || status->size_bytes < kPrefixBytes) return no_backup(file, "which is too small, or no file");
  Prefix prefix;
  VERGE_TRY(read(0, prefix));
  if (std::memcmp(prefix.data(), kMagic.data(), kMagic.size()) != 0) return no_backup(file, "which begins otherwise");
  at_rest::DataKeys keys;
  set_key(keys, passphrase, prefix);
  auto content = at_rest::Reader::open(
      {status->size_bytes - kPrefixBytes,
       [&](std::uint64_t offset_bytes, std::span<std::byte> into) { return read(kPrefixBytes + offset_bytes, into); }},
      keys);
  if (!content) {
    return Error(
        ErrorCode::permission_denied, "VRG-HUB-090",
        fmt::format("the backup '{}' does not open: another passphrase, or the file was changed or is not whole "
                    "({}); try the passphrase again, or another copy",
                    file.string(), content.error().id()));
  }
  Unsealer unsealer(std::move(*content));
  return unseal_all(unsealer, folder);
}

}  // namespace verge::hub
