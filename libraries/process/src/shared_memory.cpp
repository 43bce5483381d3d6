#include "verge/process/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace verge::process {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error exhausted(std::size_t size_bytes) {
  return Error(
      ErrorCode::resource_exhausted, "VRG-PRC-002",
      fmt::format("cannot make {} bytes of shared memory: {}; free some memory", size_bytes, std::strerror(errno)));
}

}  // namespace

Result<SharedMemory> SharedMemory::map(Descriptor descriptor, std::size_t size_bytes) {
  SharedMemory memory;
  memory.descriptor_ = std::move(descriptor);
  if (size_bytes == 0) return memory;
  void* const start = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.descriptor_.number(), 0);
  if (start == MAP_FAILED) return exhausted(size_bytes);
  memory.bytes_ = std::span(static_cast<std::byte*>(start), size_bytes);
  return memory;
}

Result<SharedMemory> SharedMemory::create(std::size_t size_bytes) {
  Descriptor descriptor(::memfd_create("verge", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor || ::ftruncate(descriptor.number(), static_cast<off_t>(size_bytes)) != 0 ||
      ::fcntl(descriptor.number(), F_ADD_SEALS, kSeals) != 0) {
    return exhausted(size_bytes);
  }
  return map(std::move(descriptor), size_bytes);
}

Result<SharedMemory> SharedMemory::open(Descriptor descriptor, std::size_t size_bytes) {
  struct stat status {};
  const bool readable = ::fstat(descriptor.number(), &status) == 0;
  const int seals = ::fcntl(descriptor.number(), F_GET_SEALS);
  if (!readable || seals < 0 || (seals & F_SEAL_SHRINK) == 0 || static_cast<std::size_t>(status.st_size) < size_bytes) {
    return Error(ErrorCode::invalid_argument, "VRG-PRC-003",
                 fmt::format("expected sealed shared memory of at least {} bytes, got {} bytes", size_bytes,
                             readable ? status.st_size : 0));
  }
  return map(std::move(descriptor), size_bytes);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::move(other.descriptor_)), bytes_(std::exchange(other.bytes_, {})) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace verge::process
