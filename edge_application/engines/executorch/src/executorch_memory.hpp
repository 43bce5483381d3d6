// Memory of an ExecuTorch interpreter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <executorch/runtime/core/hierarchical_allocator.h>
#include <executorch/runtime/core/memory_allocator.h>
#include <executorch/runtime/executor/memory_manager.h>
#include <executorch/runtime/executor/method_meta.h>

namespace verge::engines::executorch {

/// Grows as it must and keeps what it has: after the first runs a reset() and the same requests allocate nothing.
class Arena final : public ::executorch::runtime::MemoryAllocator {
 public:
  Arena() : MemoryAllocator(0, nullptr) {}

  /// Never null: throws std::bad_alloc.
  void* allocate(std::size_t size, std::size_t alignment) override;
  void reset() override;

 private:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0;  ///< Of the next allocation.
  std::size_t used_ = 0;   ///< Bytes of it.
};

/// What one interpreter works in: the buffers that its program planned, and arenas.
class Memory {
 public:
  /// Throws Failure: CORRUPT for senseless sizes, UNSUPPORTED for memory that is not the processor's.
  explicit Memory(const ::executorch::runtime::MethodMeta& method);
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  [[nodiscard]] ::executorch::runtime::MemoryManager* manager() noexcept { return &manager_; }

 private:
  using Bytes = ::executorch::runtime::Span<std::uint8_t>;
  static std::vector<std::unique_ptr<std::byte[]>> reserve(const ::executorch::runtime::MethodMeta& method,
                                                           std::vector<Bytes>& spans);

  std::vector<Bytes> spans_;
  std::vector<std::unique_ptr<std::byte[]>> planned_;
  ::executorch::runtime::HierarchicalAllocator hierarchy_;
  Arena method_;
  Arena temporary_;
  ::executorch::runtime::MemoryManager manager_;
};

}  // namespace verge::engines::executorch
