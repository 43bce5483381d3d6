// MappedFile: a model file in memory, for engines that read their models there.
#pragma once

#include <sys/mman.h>
#include <sys/stat.h>
#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "verge/engines/plugin.hpp"

namespace verge::engines {

/// A file in memory, shared with the page cache. Move-only.
class MappedFile {
 public:
  /// Throws Failure: INVALID_ARGUMENT when it cannot be opened or is no regular file, CORRUPT when it is empty.
  explicit MappedFile(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor < 0 || ::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
      if (descriptor >= 0) ::close(descriptor);
      throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "there is no readable model file");
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    void* address = size == 0 ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    ::close(descriptor);
    if (size == 0) throw Failure(VERGE_ENGINE_CORRUPT, "the file is damaged: it is empty; get it again");
    if (address == MAP_FAILED) {
      throw Failure(VERGE_ENGINE_OUT_OF_MEMORY, "the model file cannot be mapped into memory");
    }
    bytes_ = {static_cast<const std::byte*>(address), size};
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace verge::engines
