// Buffer: memory for what comes in, kept from request to request.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace verge::http {

/// Bytes at the front that nobody has read yet, and space behind them. Never cleared: new space is as it comes.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  void swap(Buffer& other) noexcept {
    memory_.swap(other.memory_);
    std::swap(capacity_, other.capacity_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
  }

  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {memory_.get() + begin_, size()}; }
  void consume(std::size_t count) noexcept {
    begin_ += count;
    if (begin_ == end_) clear();
  }
  void clear() noexcept { begin_ = end_ = 0; }
  /// At least `least` bytes of space behind the content.
  std::span<std::byte> space(std::size_t least) {
    if (capacity_ - end_ < least && begin_ > 0) {
      std::memmove(memory_.get(), memory_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    if (capacity_ - end_ < least) reserve(end_ + least);
    return {memory_.get() + end_, capacity_ - end_};
  }
  void add(std::size_t count) noexcept { end_ += count; }
  void append(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    std::memcpy(space(bytes.size()).data(), bytes.data(), bytes.size());
    add(bytes.size());
  }
  void reserve(std::size_t capacity) {
    if (capacity <= capacity_) return;
    auto* larger = static_cast<std::byte*>(std::realloc(memory_.get(), capacity));
    if (larger == nullptr) throw std::bad_alloc();
    static_cast<void>(memory_.release());
    memory_.reset(larger);
    capacity_ = capacity;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// A few buffers for bodies: fresh memory of that size costs more than what is done with it. Thread-safe.
class SpareBuffers {
 public:
  [[nodiscard]] Buffer take() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return {};
    Buffer buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }
  void give_back(Buffer buffer) {
    buffer.clear();
    if (buffer.capacity() == 0 || buffer.capacity() > kLargestKept) return;
    const std::lock_guard lock(mutex_);
    if (spare_.size() < kKept) spare_.push_back(std::move(buffer));
  }

 private:
  static constexpr std::size_t kKept = 4;
  static constexpr std::size_t kLargestKept = std::size_t{1} << 20U;
  std::mutex mutex_;
  std::vector<Buffer> spare_;
};

}  // namespace verge::http
