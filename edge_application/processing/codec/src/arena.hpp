// Arena: memory of one picture, in blocks that are kept for the next.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <vector>

namespace verge::processing {

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    for (const auto& block : blocks_) std::free(block.memory);
  }

  /// Aligned for vector code; null when memory is out.
  void* allocate(std::size_t size_bytes) noexcept {
    if (size_bytes > kMost) return nullptr;
    size_bytes = (size_bytes + kAlign - 1) / kAlign * kAlign;
    while (block_ < blocks_.size() && blocks_[block_].size_bytes - used_ < size_bytes) {
      ++block_;
      used_ = 0;
    }
    if (block_ == blocks_.size()) {
      constexpr std::size_t kBlock = 256U << 10U;
      const std::size_t wanted = size_bytes > kBlock ? size_bytes : kBlock;  // Both are multiples of kAlign.
      void* memory = std::aligned_alloc(kAlign, wanted);
      if (memory == nullptr) return nullptr;
      try {
        blocks_.push_back({memory, wanted});
      } catch (...) {
        std::free(memory);
        return nullptr;
      }
      used_ = 0;
    }
    void* result = static_cast<std::byte*>(blocks_[block_].memory) + used_;
    used_ += size_bytes;
    return result;
  }
  /// Everything is free again. The memory stays, as one block: a picture of a size seen before then allocates nothing,
  /// and pictures of many sizes do not add up.
  void reset() noexcept {
    if (blocks_.size() > 1) {
      std::size_t total = 0;
      for (const auto& block : blocks_) {
        total += block.size_bytes;
        std::free(block.memory);
      }
      blocks_.clear();
      if (void* memory = std::aligned_alloc(kAlign, total)) blocks_.push_back({memory, total});
    }
    block_ = 0;
    used_ = 0;
  }

 private:
  static constexpr std::size_t kAlign = 64;  // What libjpeg-turbo's vector code expects of its buffers.
  static constexpr std::size_t kMost = std::size_t{4} << 30U;
  struct Block {
    void* memory;
    std::size_t size_bytes;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0;
  std::size_t used_ = 0;
};

}  // namespace verge::processing
