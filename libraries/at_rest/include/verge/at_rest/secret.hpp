// Secret: keys and plain content in memory that is cleared when it goes.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace verge::at_rest {

/// Overwrites memory in a way that no compiler leaves out.
void clear(void* memory, std::size_t size_bytes) noexcept;

/// Clears what it gives back.
template <typename T>
struct ClearingAllocator {
  using value_type = T;
  ClearingAllocator() = default;
  template <typename U>
  ClearingAllocator(const ClearingAllocator<U>& /*other*/) noexcept {}
  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* memory, std::size_t count) noexcept {
    clear(memory, count * sizeof(T));
    std::allocator<T>().deallocate(memory, count);
  }
  friend bool operator==(const ClearingAllocator& /*a*/, const ClearingAllocator& /*b*/) { return true; }
};

/// Plain content on its way.
using PlainBytes = std::vector<std::byte, ClearingAllocator<std::byte>>;

/// A key of 256 bits, on a page of its own that is left out of core dumps and, where the system allows it, kept from
/// the swap. Movable; cleared at its end.
class Secret {
 public:
  static constexpr std::size_t kBytes = 32;

  /// Full of zeros, to be filled.
  Secret();
  /// A new one from the operating system.
  static Secret random();
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  [[nodiscard]] std::span<std::byte, kBytes> bytes() noexcept { return std::span<std::byte, kBytes>(page_, kBytes); }
  [[nodiscard]] std::span<const std::byte, kBytes> bytes() const noexcept {
    return std::span<const std::byte, kBytes>(page_, kBytes);
  }

 private:
  std::byte* page_ = nullptr;
};

}  // namespace verge::at_rest
