// What fuzz targets share: their input in parts, and files written plainly.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/file.hpp"

namespace verge::fuzz {

/// The input cut at its zero bytes into exactly `count` parts: the last one takes what is left, missing ones are empty.
inline std::vector<std::string> parts(const std::uint8_t* data, std::size_t size_bytes, std::size_t count) {
  std::string_view rest(reinterpret_cast<const char*>(data), size_bytes);
  std::vector<std::string> found;
  while (found.size() + 1 < count) {
    const auto end = std::min(rest.find('\0'), rest.size());
    found.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  found.emplace_back(rest);
  return found;
}

/// Without the syncs of write_file(): millions of these are written.
inline void put(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

/// A folder for the whole run, in memory where the system has such a place.
inline const std::filesystem::path& folder() {
  static const TemporaryFolder made = [] {
    if (std::filesystem::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 0);
    auto created = TemporaryFolder::create("verge_fuzz");
    if (!created) __builtin_trap();
    return std::move(*created);
  }();
  return made.path();
}

}  // namespace verge::fuzz
