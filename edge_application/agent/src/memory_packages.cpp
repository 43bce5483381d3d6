#include "memory_packages.hpp"

#include <algorithm>

#include "verge/update/encrypted_files.hpp"

namespace verge::agent {
namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 20U;

Result<void> read_into(update::OpenedFile& file, std::span<std::byte> memory) {
  for (std::uint64_t at = 0; at < memory.size(); at += kPieceBytes) {
    const auto piece = memory.subspan(at, std::min<std::uint64_t>(kPieceBytes, memory.size() - at));
    VERGE_TRY(file.read(at, piece));
  }
  return {};
}

}  // namespace

Result<void> decrypt_into(at_rest::MemoryFolder& folder, std::string_view name, update::Files& files,
                          const std::string& stored) {
  VERGE_ASSIGN(const auto file, files.open(stored));
  return folder.add(name, file->size_bytes(), [&](std::span<std::byte> memory) { return read_into(*file, memory); });
}

Result<std::unique_ptr<MemoryPackages>> MemoryPackages::create(update::Files& files,
                                                               const std::filesystem::path& folder,
                                                               at_rest::Locking locking) {
  VERGE_ASSIGN(auto root, at_rest::MemoryFolder::create(folder, locking));
  return std::unique_ptr<MemoryPackages>(new MemoryPackages(files, std::move(root), locking));
}

Result<at_rest::MemoryFolder> MemoryPackages::make() {
  // A number of its own: the folder of the same package may be on its way out.
  return at_rest::MemoryFolder::create(root_.path() / std::to_string(++made_), locking_);
}

Result<std::shared_ptr<const at_rest::MemoryFolder>> MemoryPackages::open(const update::InstalledPackage& installed) {
  const std::lock_guard lock(mutex_);
  std::erase_if(open_, [](const auto& one) { return one.second.expired(); });
  if (const auto found = open_.find(installed.digest); found != open_.end()) {
    if (auto folder = found->second.lock()) return folder;
  }
  VERGE_ASSIGN(auto folder, make());
  VERGE_ASSIGN(const auto names, update::files_below(files_, installed.folder));
  for (const auto& name : names) {
    VERGE_TRY(decrypt_into(folder, name.substr(installed.folder.size() + 1), files_, name));
  }
  auto made = std::make_shared<const at_rest::MemoryFolder>(std::move(folder));
  open_[installed.digest] = made;
  return made;
}

}  // namespace verge::agent
