#include <dlfcn.h>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include "verge/pipeline/video_part.hpp"

namespace verge::pipeline {
namespace {

std::filesystem::path part_path() {
  constexpr std::string_view kName = "libverge_part_video.so";
  if (const char* set = std::getenv("VERGE_PART_PATH"); set != nullptr) return std::filesystem::path(set) / kName;
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  auto installed = program.parent_path().parent_path() / VERGE_LIBRARY_FOLDER / "verge" / "parts" / kName;
  if (std::filesystem::exists(installed, failed)) return installed;
  return std::filesystem::path(VERGE_BUILD_PARTS_FOLDER) / kName;
}

}  // namespace

Result<const verge_video_part*> load_video_part() {
  const auto path = part_path();
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
