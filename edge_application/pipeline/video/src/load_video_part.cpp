#include <dlfcn.h>
#include <string_view>

#include <fmt/format.h>

#include "verge/base/part.hpp"
#include "verge/pipeline/video_part.hpp"

namespace verge::pipeline {

Result<const verge_video_part*> load_video_part() {
  const auto path = part_path("libverge_part_video.so");
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Error(ErrorCode::unavailable, "VRG-SRC-002",
                 fmt::format("videos and cameras need the video part, which does not load: {}; install it, or use "
                             "pictures",
                             ::dlerror()));
  }
  const auto entry = reinterpret_cast<verge_video_part_function>(::dlsym(library, "verge_video_part_entry"));
  if (entry == nullptr || entry()->version != 2) {
    return Error(
        ErrorCode::failed_precondition, "VRG-SRC-002",
        fmt::format("expected version 2 of the video part at '{}'; install the one of this program", path.string()));
  }
  return entry();
}

}  // namespace verge::pipeline
