// The archive part: where the entries of a tar archive lie. Loaded when the first bundle is read: libarchive brings
// libxml2 and ICU, and a device that gets none maps nothing of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"

namespace verge::bundle {

inline constexpr std::size_t kEntriesLimit = 65536;

struct Entry {
  std::string name;
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

/// What is no bundle. `why` goes on after "one where".
[[nodiscard]] Error no_bundle(const std::filesystem::path& file, std::string_view why);

struct ArchivePart {
  const char* version;  ///< Of the program that it was built with.
  /// Of the file of `size_bytes` that is open as `descriptor`; its contents are not read. Errors: data_loss
  /// (VRG-BDL-003).
  Result<std::vector<Entry>> (*list)(int descriptor, std::uint64_t size_bytes, const std::filesystem::path& file);
};
/// Under the name "verge_archive_part_entry".
using ArchivePartEntry = const ArchivePart* (*)();

/// Stays loaded. Errors: unavailable (VRG-BDL-006 it is not installed), failed_precondition (VRG-BDL-006 it is another
/// version's).
Result<const ArchivePart*> archive_part();

}  // namespace verge::bundle
