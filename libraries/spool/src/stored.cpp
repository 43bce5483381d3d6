#include "verge/spool/stored.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "segments.hpp"
#include "verge/at_rest/encrypted_file.hpp"

namespace verge::spool {
namespace {

/// The root, pipelines, sinks.
constexpr int kDepth = 3;

Result<void> find_folders(FileSystem& system, const std::string& folder, int depth, std::vector<std::string>& found) {
  const auto names = system.list(folder);
  if (!names && names.error() == ENOENT) return {};
  if (!names) return file_error("list", folder, names.error());
  bool has_segments = false;
  for (const auto& name : *names) {
    const auto path = fmt::format("{}/{}", folder, name);
    const auto status = system.status(path);
    if (status && status->is_folder && depth > 1) VERGE_TRY(find_folders(system, path, depth - 1, found));
    has_segments = has_segments || name.ends_with(kSegmentSuffix) || name.ends_with(kPartSuffix);
  }
  if (has_segments) found.push_back(folder);
  return {};
}

std::optional<at_rest::KeyId> key_of(const Head& head, std::span<const std::byte> stored) {
  return head.encrypted ? at_rest::key_of(stored) : std::nullopt;
}

bool is_as_wanted(const Head& head, std::span<const std::byte> stored, const at_rest::DataKeys* wanted) {
  if (wanted == nullptr) return !head.encrypted;
  return key_of(head, stored) == wanted->current().first;
}

/// The segment as it should be; empty: it is.
Result<std::vector<std::byte>> resealed(FileSystem& system, const std::string& path, const at_rest::DataKeys& known,
                                        const at_rest::DataKeys* wanted) {
  VERGE_ASSIGN(auto reader, SegmentReader::open(system, path));
  std::vector<std::byte> made;
  bool changed = false;
  std::uint64_t passed_over = 0;
  BlockWriter writer;
  while (const auto head = reader.next(reader.size_bytes(), passed_over)) {
    const auto body = reader.body(&known);
    const auto stored = reader.stored_body();
    if (!body) continue;  // Nobody will read it.
    changed = changed || !is_as_wanted(*head, stored, wanted);
    writer.begin(body->ledger);
    for (const auto& record : body->records) writer.add(record);
    const auto block = writer.finish(wanted);
    made.insert(made.end(), block.begin(), block.end());
  }
  if (!changed) made.clear();
  return made;
}

Result<void> put_in_place(FileSystem& system, const std::string& path, std::span<const std::byte> content) {
  const auto part = path + kPartSuffix;
  (void)system.unlink(part).has_value();
  {
    const auto number = system.create(part);
    if (!number) return file_error("write", part, number.error());
    const OpenFile file(system, *number);
    if (const auto written = file.write_all(content); !written) return file_error("write", part, written.error());
    if (const auto synced = system.sync(file.get()); !synced) return file_error("sync", part, synced.error());
  }
  if (const auto renamed = system.rename(part, path); !renamed) return file_error("write", path, renamed.error());
  return {};
}

}  // namespace

Result<std::vector<std::string>> folders_below(FileSystem& system, const std::string& root) {
  std::vector<std::string> found;
  VERGE_TRY(find_folders(system, root, kDepth, found));
  std::ranges::sort(found);
  return found;
}

Result<void> reseal(FileSystem& system, const std::string& root, const at_rest::DataKeys& known,
                    const at_rest::DataKeys* wanted) {
  VERGE_ASSIGN(const auto folders, folders_below(system, root));
  for (const auto& folder : folders) {
    VERGE_ASSIGN(const auto numbers, segment_numbers(system, folder));
    bool renamed = false;
    for (const auto number : numbers) {
      const auto path = segment_path(folder, number);
      VERGE_ASSIGN(const auto content, resealed(system, path, known, wanted));
      if (content.empty()) continue;
      VERGE_TRY(put_in_place(system, path, content));
      renamed = true;
    }
    if (renamed) VERGE_TRY(sync_path(system, folder));
  }
  return {};
}

Result<bool> has_old(FileSystem& system, const std::string& root, const at_rest::DataKeys& keys) {
  const auto newest = keys.current().first;
  VERGE_ASSIGN(const auto folders, folders_below(system, root));
  for (const auto& folder : folders) {
    VERGE_ASSIGN(const auto numbers, segment_numbers(system, folder));
    for (const auto number : numbers) {
      auto reader = SegmentReader::open(system, segment_path(folder, number));
      if (!reader && reader.error().code() == ErrorCode::not_found) continue;  // Delivered meanwhile.
      if (!reader) return std::move(reader).error();
      std::uint64_t passed_over = 0;
      while (const auto head = reader->next(reader->size_bytes(), passed_over)) {
        const auto key = key_of(*head, reader->stored_body());
        if (key && *key != newest && keys.find(*key) != nullptr) return true;
      }
    }
  }
  return false;
}

Result<void> remove(FileSystem& system, const std::string& folder) {
  const auto names = system.list(folder);
  if (!names) return file_error("list", folder, names.error());
  for (const auto& name : *names) {
    if (!name.ends_with(kSegmentSuffix) && !name.ends_with(kPartSuffix)) continue;
    const auto path = fmt::format("{}/{}", folder, name);
    if (const auto removed = system.unlink(path); !removed) return file_error("remove", path, removed.error());
  }
  if (const auto removed = system.remove_folder(folder); !removed) {
    return file_error("remove", folder, removed.error());
  }
  return {};
}

}  // namespace verge::spool
