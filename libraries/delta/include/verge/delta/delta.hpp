// Delta: what turns a file that a device has into the one that it wants, made to know models.
//
// Tensors are found by name in both files, and coded as differences of numbers; the other bytes by zstd or LZMA
// with the old file's as dictionary. A delta holds all that is needed to apply it: the device looks into no model file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/model_file/tensors.hpp"

namespace verge::delta {

/// A file with its tensors, as model_file finds them; none is right for any file.
struct Content {
  std::span<const std::byte> bytes;
  std::vector<model_file::FileTensor> tensors;
};

/// Makes a delta: minutes for hundreds of MB, and some three times the files' size in memory. It is at most a few
/// hundred bytes larger than the new file. Errors: resource_exhausted (VRG-DLT-001 a file of more than kMaxFile_bytes).
Result<std::vector<std::byte>> make(const Content& old, const Content& fresh);

inline constexpr std::uint64_t kMaxFile_bytes = std::uint64_t{4} << 30U;

/// A file, and the description that tells its tensors: the .xml of an OpenVINO IR's weights; else empty.
struct DescribedFile {
  std::filesystem::path file;
  std::filesystem::path description;
};

/// make(), from files into a new file. Errors: as make(), read_file() and write_file().
Result<void> make_file(const DescribedFile& old, const DescribedFile& fresh, const std::filesystem::path& delta);

/// Reads exactly these bytes of a file. Errors are handed through.
using Read = std::function<Result<void>(std::uint64_t offset_bytes, std::span<std::byte> into)>;

struct Source {
  std::uint64_t size_bytes = 0;
  Read read;
};

/// A regular file. Errors: not_found, unavailable (VRG-DLT-005).
Result<Source> open_source(const std::filesystem::path& file);

/// What a delta says it is for.
struct Summary {
  std::uint64_t old_size_bytes = 0;
  std::string new_digest;  ///< "sha256:…"
  std::uint64_t new_size_bytes = 0;
};

/// Errors: data_loss (VRG-DLT-002 no delta, or damaged).
Result<Summary> read_summary(const Source& delta);

/// Gives the new file to `sink`, front to back, in pieces of at most kPiece_bytes; takes less than 64 MB of memory,
/// whatever the delta says. Errors: data_loss (VRG-DLT-002 no delta, or damaged; 003 the old file is another than the
/// delta is for, by its size; 004 what came out has another digest: nothing of it may be used); those of the sources
/// and the sink.
Result<void> apply(const Source& old, const Source& delta,
                   const std::function<Result<void>(std::span<const std::byte>)>& sink);

inline constexpr std::size_t kPiece_bytes = std::size_t{2} << 20U;
inline constexpr std::size_t kDictionary_bytes = std::size_t{16} << 20U;

}  // namespace verge::delta
