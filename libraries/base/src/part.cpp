#include "verge/base/part.hpp"

#include <cstdlib>

namespace verge {

std::filesystem::path part_path(std::string_view file_name) {
  if (const char* set = std::getenv("VERGE_PART_PATH"); set != nullptr) return std::filesystem::path(set) / file_name;
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  auto installed = program.parent_path().parent_path() / VERGE_LIBRARY_FOLDER / "verge" / "parts" / file_name;
  if (std::filesystem::exists(installed, failed)) return installed;
  return std::filesystem::path(VERGE_BUILD_PARTS_FOLDER) / file_name;
}

}  // namespace verge
