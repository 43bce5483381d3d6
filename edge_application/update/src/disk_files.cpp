#include "verge/update/disk_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "store_folders.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/package/model_package.hpp"

namespace verge::update {
namespace {

constexpr std::string_view kUnfinished = ".part";

bool is_inside(const std::string& name, const std::string& folder) {
  return name.starts_with(folder) && (name.size() == folder.size() || name[folder.size()] == '/');
}

class OpenedDiskFile final : public OpenedFile {
 public:
  OpenedDiskFile(FileSystem& system, int number, std::string path, std::uint64_t size_bytes)
      : system_(system), file_(system, number), path_(std::move(path)), size_bytes_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  Result<void> read(std::uint64_t offset_bytes, std::span<std::byte> into) override {
    while (!into.empty()) {
      const auto got = system_.read_at(file_.get(), offset_bytes, into);
      if (!got) return file_error("read", path_, got.error());
      if (*got == 0) {
        return Error(ErrorCode::data_loss, "VRG-UPD-018",
                     fmt::format("'{}': expected {} bytes more, got the end of the file", path_, into.size()));
      }
      offset_bytes += *got;
      into = into.subspan(*got);
    }
    return {};
  }

 private:
  FileSystem& system_;
  OpenFile file_;
  std::string path_;
  std::uint64_t size_bytes_;
};

}  // namespace

Result<std::string> DiskFiles::read(const std::string& name, std::uint64_t limit_bytes) {
  return read_text(system_, at(name), limit_bytes);
}

Result<std::unique_ptr<OpenedFile>> DiskFiles::open(const std::string& name) {
  VERGE_ASSIGN(const auto size_bytes, size(name));
  const auto number = system_.open(at(name));
  if (!number) return file_error("read", at(name), number.error());
  return std::make_unique<OpenedDiskFile>(system_, *number, at(name), size_bytes);
}

Result<void> DiskFiles::write(const std::string& name, std::string_view content) {
  const auto folder = folder_of(name);
  VERGE_TRY(make_folder(folder, true));
  VERGE_TRY(replace_file(system_, at(name), at(unfinished_name(name)), std::as_bytes(std::span(content))));
  return sync_path(system_, at(folder));
}

Result<void> DiskFiles::append(const std::string& name, std::span<const std::byte> bytes) {
  const auto folder = folder_of(name);
  VERGE_TRY(make_folder(folder_of(folder), true));
  VERGE_TRY(make_folder(folder, false));
  const auto number = system_.open_to_append(at(name));
  if (!number) return file_error("write", at(name), number.error());
  const OpenFile file(system_, *number);
  if (const auto written = file.write_all(bytes); !written) return file_error("write", at(name), written.error());
  return {};
}

Result<void> DiskFiles::sync(const std::string& name) {
  return sync_path(system_, at(name));
}

Result<std::uint64_t> DiskFiles::size(const std::string& name) {
  const auto status = system_.status(at(name));
  if (!status) return file_error("look at", at(name), status.error());
  if (!status->is_file) return file_error("look at", at(name), EISDIR);
  return std::uint64_t{status->size_bytes};
}

Result<std::string> DiskFiles::digest(const std::string& name) {
  const auto number = system_.open(at(name));
  if (!number) return file_error("read", at(name), number.error());
  const OpenFile file(system_, *number);
  crypto::Sha256 digest;
  std::uint64_t size_bytes = 0;
  std::array<std::byte, 1U << 16U> piece{};
  while (true) {
    const auto got = system_.read(file.get(), piece);
    if (!got) return file_error("read", at(name), got.error());
    if (*got == 0) return digest.finish();
    size_bytes += *got;
    if (size_bytes > package::kFileLimitBytes) {
      return Error(
          ErrorCode::resource_exhausted, "VRG-BAS-003",
          fmt::format("'{}' is too large: expected at most {} bytes, got more", at(name), package::kFileLimitBytes));
    }
    digest.update(std::span(piece.data(), *got));
  }
}

Result<void> DiskFiles::rename(const std::string& from, const std::string& to) {
  VERGE_TRY(make_folder(folder_of(to), true));
  const auto renamed = system_.rename(at(from), at(to));
  if (!renamed) return file_error("rename", at(from), renamed.error());
  forget(from);
  forget(to);
  return {};
}

Result<void> DiskFiles::link(const std::string& from, const std::string& to) {
  VERGE_TRY(make_folder(folder_of(to), false));
  const auto linked = system_.link(at(from), at(to));
  if (!linked && linked.error() != EEXIST) return file_error("make a second name for", at(from), linked.error());
  return {};
}

bool DiskFiles::same(const std::string& a, const std::string& b) {
  const auto first = system_.status(at(a));
  if (!first) return false;
  const auto second = system_.status(at(b));
  return second && first->inode == second->inode && first->device == second->device;
}

Result<void> DiskFiles::remove(const std::string& name) {
  const auto removed = system_.unlink(at(name));
  if (removed || removed.error() == ENOENT || removed.error() == ENOTDIR) return {};
  // What a folder gives: EISDIR on Linux, EPERM by POSIX.
  if (removed.error() == EISDIR || removed.error() == EPERM) return remove_folder(name);
  return file_error("remove", at(name), removed.error());
}

Result<void> DiskFiles::remove_folder(const std::string& name) {
  const auto names = system_.list(at(name));
  if (!names) return file_error("remove", at(name), names.error());
  for (const auto& one : *names) VERGE_TRY(remove(fmt::format("{}/{}", name, one)));
  const auto removed = system_.remove_folder(at(name));
  if (!removed && removed.error() != ENOENT) return file_error("remove", at(name), removed.error());
  forget(name);
  return {};
}

Result<std::vector<std::string>> DiskFiles::list(const std::string& folder) {
  auto names = system_.list(at(folder));
  if (!names && names.error() != ENOENT) return file_error("list", at(folder), names.error());
  if (!names) return std::vector<std::string>{};
  std::ranges::sort(*names);
  return std::move(*names);
}

void DiskFiles::remove_unfinished(const std::string& folder) {
  for (const auto& name : list(folder).value_or(std::vector<std::string>{})) {
    if (!name.starts_with('.') || !name.ends_with(kUnfinished)) continue;
    (void)remove(folder.empty() ? name : fmt::format("{}/{}", folder, name)).has_value();
  }
}

std::uint64_t DiskFiles::free_bytes() {
  return system_.free_bytes(root_).value_or(0);
}

Result<void> DiskFiles::make_folder(const std::string& name, bool durable) {
  if (name.empty()) return make_durable_folder(system_, root_);
  const auto parent = folder_of(name);
  auto made = system_.make_folder(at(name));
  if (!made && made.error() == ENOENT) {
    VERGE_TRY(make_folder(parent, durable));
    made = system_.make_folder(at(name));
  }
  if (!made && made.error() != EEXIST) return file_error("make the folder", at(name), made.error());
  if (!durable || (!made && is_known(name))) return {};
  VERGE_TRY(make_folder(parent, durable));
  // Made by a run of the program that was killed before it could sync the name, it is still empty.
  const auto names = system_.list(at(name));
  if (!names) return file_error("list", at(name), names.error());
  if (names->empty()) VERGE_TRY(sync_path(system_, at(parent)));
  const std::lock_guard lock(mutex_);
  known_.insert(name);
  return {};
}

bool DiskFiles::is_known(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  return known_.contains(folder);
}

void DiskFiles::forget(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  std::erase_if(known_, [&](const auto& known) { return is_inside(known, folder); });
}

}  // namespace verge::update
