// Landlock: files that a process may read, and no others.
#pragma once

#include <filesystem>
#include <span>

namespace verge::process {

/// Version of the kernel's Landlock; 0 when it has none, or it is switched off.
[[nodiscard]] int landlock_version() noexcept;
/// This thread, and what it starts, may read these from now on, write nothing, and (from version 4) use no TCP. Needs
/// no_new_privs. False, with errno, when the kernel refuses.
bool restrict_files(std::span<const std::filesystem::path> readable) noexcept;

}  // namespace verge::process
