#include "archive_part.hpp"

#include <dlfcn.h>

#include <fmt/format.h>

#include "verge/base/part.hpp"

namespace verge::bundle {

Result<const ArchivePart*> archive_part() {
  const auto path = part_path("libverge_part_archive.so");
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Error(ErrorCode::unavailable, "VRG-BDL-006",
                 fmt::format("a bundle needs the archive part, which does not load: {}; install it with libarchive13",
                             ::dlerror()));
  }
  const auto entry = reinterpret_cast<ArchivePartEntry>(::dlsym(library, "verge_archive_part_entry"));
  if (entry == nullptr || std::string_view(entry()->version) != VERGE_VERSION) {
    return Error(ErrorCode::failed_precondition, "VRG-BDL-006",
                 fmt::format("expected the archive part of version {} at '{}'; install the one of this program",
                             VERGE_VERSION, path.string()));
  }
  return entry();
}

}  // namespace verge::bundle
