#include "verge/at_rest/secret.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <utility>

#include <openssl/crypto.h>

#include "aead.hpp"

namespace verge::at_rest {
namespace {

std::size_t page_bytes() noexcept {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

void clear(void* memory, std::size_t size_bytes) noexcept {
  OPENSSL_cleanse(memory, size_bytes);
}

Secret::Secret() {
  void* const page = ::mmap(nullptr, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc();
  page_ = static_cast<std::byte*>(page);
  (void)::mlock(page_, page_bytes());
  (void)::madvise(page_, page_bytes(), MADV_DONTDUMP);
  (void)::madvise(page_, page_bytes(), MADV_WIPEONFORK);
}

Secret Secret::random() {
  Secret made;
  fill_randomly(made.bytes());
  return made;
}

Secret::Secret(Secret&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  std::swap(page_, other.page_);
  return *this;
}

Secret::~Secret() {
  if (page_ == nullptr) return;
  clear(page_, page_bytes());
  (void)::munmap(page_, page_bytes());
}

}  // namespace verge::at_rest
