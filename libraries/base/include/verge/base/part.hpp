// Parts: shared libraries of Verge that are loaded when they are first needed.
#pragma once

#include <filesystem>
#include <string_view>

namespace verge {

/// Where the part called `file_name` lies: in $VERGE_PART_PATH when that is set, else beside the installed program,
/// else in the build tree.
[[nodiscard]] std::filesystem::path part_path(std::string_view file_name);

}  // namespace verge
