#include "verge/test_support/allocation_counter.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocations{0};
void count() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

#if !defined(VERGE_SANITIZED)
// libjpeg knows no operator new: malloc itself is counted.
extern "C" {
void* __libc_malloc(std::size_t);               // NOLINT: glibc's own names.
void* __libc_calloc(std::size_t, std::size_t);  // NOLINT
void* __libc_realloc(void*, std::size_t);       // NOLINT
void* malloc(std::size_t size_bytes) {
  count();
  return __libc_malloc(size_bytes);
}
void* calloc(std::size_t number, std::size_t size_bytes) {
  count();
  return __libc_calloc(number, size_bytes);
}
void* realloc(void* memory, std::size_t size_bytes) {
  count();
  return __libc_realloc(memory, size_bytes);
}
}
#else
// Not inlined: GCC would see new and free() side by side and warn.
[[gnu::noinline]] void* operator new(std::size_t size_bytes) {
  count();
  if (void* memory = std::malloc(size_bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif

namespace verge::test {

AllocationCounter::AllocationCounter() {
  allocations = 0;
  counting = true;
}
AllocationCounter::~AllocationCounter() {
  counting = false;
}
long AllocationCounter::count() const {
  return allocations;
}

}  // namespace verge::test
