// Recorded calls: what this program, with every library in it, does to the files of one folder.
//
// The calls of the C library that change files are defined here once more; the programs' own definitions come first
// when the libraries are bound, so that SQLite's, the standard library's and the hub's writes all pass. The real calls
// are made, and what they did is written down.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace verge::power_loss {

struct RecordedCall {
  enum class Kind : std::uint8_t {
    create,
    write,
    truncate,
    sync,
    rename,
    link,
    unlink,
    make_folder,
    remove_folder,
    mark
  };
  Kind kind = Kind::mark;
  std::string path;  ///< Below the folder, with a '/' in front; of a mark: its text.
  std::string to;    ///< Of a rename and a link.
  std::uint64_t offset_bytes = 0;
  std::string bytes;
};

/// Begins to record; `folder` is a path from the root. One recording at a time.
void start_recording(const std::string& folder);
/// Something that is known to have happened by now.
void mark(const std::string& text);
/// Ends it.
[[nodiscard]] std::vector<RecordedCall> stop_recording();

}  // namespace verge::power_loss
