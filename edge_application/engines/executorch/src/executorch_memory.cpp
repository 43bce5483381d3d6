#include "executorch_memory.hpp"

#include <algorithm>
#include <new>

#include "executorch_platform.hpp"
#include "verge/engines/plugin.hpp"

namespace verge::engines::executorch {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSmallestBlock = std::size_t{64} << 10U;
constexpr std::int64_t kPlannedLimitBytes = std::int64_t{1} << 40U;

std::size_t aligned(std::uintptr_t address, std::size_t alignment) {
  return (alignment - address % alignment) % alignment;
}

/// Not zeroed: pages that nobody touches cost nothing.
std::unique_ptr<std::byte[]> uninitialised(std::size_t size) {
  return std::make_unique_for_overwrite<std::byte[]>(size);
}

}  // namespace

void* Arena::allocate(std::size_t size, std::size_t alignment) {
  if (!isPowerOf2(alignment) || size > static_cast<std::size_t>(kPlannedLimitBytes)) throw std::bad_alloc();
  for (; block_ < blocks_.size(); ++block_, used_ = 0) {
    Block& block = blocks_[block_];
    const std::size_t gap = aligned(reinterpret_cast<std::uintptr_t>(block.bytes.get()) + used_, alignment);
    if (block.size < used_ + gap || block.size - used_ - gap < size) continue;
    void* given = block.bytes.get() + used_ + gap;
    used_ += gap + size;
    return given;
  }
  const std::size_t block_size = std::max(kSmallestBlock, size + alignment);
  Block& block = blocks_.emplace_back();
  block.bytes = uninitialised(block_size);
  block.size = block_size;
  block_ = blocks_.size() - 1;
  std::byte* begin = block.bytes.get();
  const std::size_t gap = aligned(reinterpret_cast<std::uintptr_t>(begin), alignment);
  used_ = gap + size;
  return begin + gap;
}

void Arena::reset() {
  block_ = 0;
  used_ = 0;
}

std::vector<std::unique_ptr<std::byte[]>> Memory::reserve(const ::executorch::runtime::MethodMeta& method,
                                                          std::vector<Bytes>& spans) {
  std::vector<std::unique_ptr<std::byte[]>> buffers;
  for (std::size_t i = 0; i < method.num_memory_planned_buffers(); ++i) {
    const auto device = method.memory_planned_buffer_device(i);
    check(device.error(), "reading the planned memory", Stage::load);
    if (!device->is_cpu()) {
      throw Failure(VERGE_ENGINE_UNSUPPORTED, "the program needs memory of an accelerator; export it for the CPU");
    }
    const auto size = method.memory_planned_buffer_size(i);
    check(size.error(), "reading the planned memory", Stage::load);
    if (*size < 0 || *size > kPlannedLimitBytes) {
      throw Failure(VERGE_ENGINE_CORRUPT,
                    "the file is damaged: it plans " + std::to_string(*size) + " bytes of memory; get it again");
    }
    // Vectorised kernels read up to a register past the end.
    buffers.push_back(uninitialised(static_cast<std::size_t>(*size) + 2 * kAlignment));
    std::byte* begin = buffers.back().get();
    begin += aligned(reinterpret_cast<std::uintptr_t>(begin), kAlignment);
    spans.emplace_back(reinterpret_cast<std::uint8_t*>(begin), static_cast<std::size_t>(*size));
  }
  return buffers;
}

Memory::Memory(const ::executorch::runtime::MethodMeta& method)
    : planned_(reserve(method, spans_)),
      hierarchy_({spans_.data(), spans_.size()}),
      manager_(&method_, &hierarchy_, &temporary_) {}

}  // namespace verge::engines::executorch
