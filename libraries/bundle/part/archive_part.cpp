// The archive part: libarchive behind one function.
#include "archive_part.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <set>

#include <fmt/format.h>

namespace verge::bundle {
namespace {

/// Of a header with its extensions, so that a hostile one does not fill the memory.
constexpr std::size_t kNameLimit = 512;

struct Close {
  void operator()(archive* a) const noexcept { archive_read_free(a); }
};

struct Listing {
  const std::filesystem::path& file;
  std::uint64_t size_bytes;
  std::vector<Entry> entries;
  std::set<std::string> names;

  Result<void> take(archive& tar, archive_entry& entry) {
    const char* name = archive_entry_pathname(&entry);
    if (name == nullptr || std::string_view(name).size() > kNameLimit) return no_bundle(file, "a name is too long");
    if (archive_entry_filetype(&entry) != AE_IFREG || archive_entry_hardlink(&entry) != nullptr ||
        archive_entry_sparse_count(&entry) > 0) {
      return no_bundle(file, fmt::format("'{}' is no plain file", name));
    }
    const auto offset = static_cast<std::uint64_t>(archive_filter_bytes(&tar, 0));
    const auto size = static_cast<std::uint64_t>(std::max<la_int64_t>(archive_entry_size(&entry), 0));
    if (offset > size_bytes || size > size_bytes - offset) return no_bundle(file, "its end is missing");
    if (entries.size() >= kEntriesLimit) {
      return no_bundle(file, fmt::format("there are over {} entries", kEntriesLimit));
    }
    if (!names.emplace(name).second) return no_bundle(file, fmt::format("'{}' comes twice", name));
    entries.push_back({name, offset, size});
    return {};
  }
};

Result<std::vector<Entry>> list(int descriptor, std::uint64_t size_bytes, const std::filesystem::path& file) {
  Listing listing{file, size_bytes, {}, {}};
  const std::unique_ptr<archive, Close> tar(archive_read_new());
  archive_read_support_format_tar(tar.get());
  if (archive_read_open_fd(tar.get(), descriptor, std::size_t{64} << 10U) != ARCHIVE_OK) {
    return no_bundle(file, "there is no archive");
  }
  for (;;) {
    archive_entry* entry = nullptr;
    const int got = archive_read_next_header(tar.get(), &entry);
    if (got == ARCHIVE_EOF) return std::move(listing.entries);
    if (got != ARCHIVE_OK) {
      const char* why = archive_error_string(tar.get());
      return no_bundle(file, why == nullptr ? "the archive is damaged" : why);
    }
    VERGE_TRY(listing.take(*tar, *entry));
  }
}

constexpr ArchivePart kPart{VERGE_VERSION, list};

}  // namespace
}  // namespace verge::bundle

extern "C" __attribute__((visibility("default"))) const verge::bundle::ArchivePart* verge_archive_part_entry() {
  return &verge::bundle::kPart;
}
