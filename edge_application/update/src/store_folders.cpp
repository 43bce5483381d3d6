#include "store_folders.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "verge/update/encrypted_files.hpp"

namespace verge::update {

std::string folder_of(const std::string& name) {
  const auto slash = name.rfind('/');
  return slash == std::string::npos ? std::string() : name.substr(0, slash);
}

std::string unfinished_name(const std::string& name) {
  const auto folder = folder_of(name);
  const auto last = folder.empty() ? name : name.substr(folder.size() + 1);
  return folder.empty() ? fmt::format(".{}.part", last) : fmt::format("{}/.{}.part", folder, last);
}

at_rest::Stored stored(std::shared_ptr<OpenedFile> file) {
  const auto size_bytes = file->size_bytes();
  return {size_bytes, [file = std::move(file)](std::uint64_t offset, std::span<std::byte> into) {
            return file->read(offset, into);
          }};
}

Result<std::optional<at_rest::KeyId>> stored_key(Files& files, const std::string& name) {
  VERGE_ASSIGN(const auto file, files.open(name));
  std::array<std::byte, at_rest::kHeaderBytes> header{};
  if (file->size_bytes() < header.size()) return std::optional<at_rest::KeyId>();
  VERGE_TRY(file->read(0, header));
  return at_rest::key_of(header);
}

Result<std::vector<std::string>> files_below(Files& files, const std::string& folder) {
  std::vector<std::string> found;
  VERGE_ASSIGN(const auto names, files.list(folder));
  for (const auto& one : names) {
    const auto name = fmt::format("{}/{}", folder, one);
    if (files.size(name)) {
      found.push_back(name);
      continue;
    }
    VERGE_ASSIGN(const auto below, files_below(files, name));
    found.insert(found.end(), below.begin(), below.end());
  }
  return found;
}

Result<void> replace(Files& files, const std::string& name,
                     const std::function<Result<void>(const at_rest::Sink&)>& fill) {
  const auto temporary = unfinished_name(name);
  VERGE_TRY(files.remove(temporary));
  const auto sink = [&](std::span<const std::byte> bytes) { return files.append(temporary, bytes); };
  VERGE_TRY(files.append(temporary, {}));
  VERGE_TRY(fill(sink));
  VERGE_TRY(files.sync(temporary));
  VERGE_TRY(files.rename(temporary, name));
  return files.sync(folder_of(name));
}

}  // namespace verge::update
