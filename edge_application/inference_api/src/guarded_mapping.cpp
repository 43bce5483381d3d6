#include "guarded_mapping.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include <fmt/format.h>

namespace verge::inference_api {
namespace {

constexpr std::size_t kMaxMappings = 2048;

struct sigaction handler_before {};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): of the process.

/// What would have happened without us.
void hand_on(int number, siginfo_t* information, void* context) noexcept {
  if ((handler_before.sa_flags & SA_SIGINFO) != 0) {
    handler_before.sa_sigaction(number, information, context);
  } else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN) {
    handler_before.sa_handler(number);
  } else {
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    ::sigaction(number, &by_default, nullptr);
    ::raise(number);  // Once this handler has returned.
  }
}

}  // namespace

/// Read by the handler while others map and unmap: only whoever holds a mapping touches its memory.
struct GuardedMapping::Slot {
  std::atomic<bool> taken{false};
  std::atomic<bool> broken{false};
  std::atomic<std::byte*> begin{nullptr};  ///< Of what comes from the file; null: nothing is mapped.
  std::atomic<std::size_t> size_bytes{0};

  static std::array<Slot, kMaxMappings>& all() {
    static std::array<Slot, kMaxMappings> slots;
    return slots;
  }
};

void GuardedMapping::handle(int number, void* information, void* context) noexcept {
  auto* info = static_cast<siginfo_t*>(information);
  const auto* at = static_cast<const std::byte*>(info->si_addr);
  const int error_before = errno;
  for (auto& slot : Slot::all()) {
    auto* begin = slot.begin.load(std::memory_order_acquire);
    const auto size = slot.size_bytes.load(std::memory_order_relaxed);
    if (info->si_code <= 0 || begin == nullptr || at < begin || at >= begin + size) continue;
    slot.broken.store(true, std::memory_order_release);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (::mmap(begin, size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) break;
    errno = error_before;
    return;
  }
  errno = error_before;
  hand_on(number, info, context);
}

void GuardedMapping::install() {
  static std::once_flag once;
  std::call_once(once, [] {
    static_cast<void>(Slot::all());  // Made before a handler asks for it.
    struct sigaction ours {};
    ours.sa_sigaction = [](int number, siginfo_t* information, void* context) { handle(number, information, context); };
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigaction(SIGBUS, &ours, &handler_before);
  });
}

GuardedMapping::Slot* GuardedMapping::take_slot() {
  for (auto& slot : Slot::all()) {
    if (!slot.taken.exchange(true)) return &slot;
  }
  return nullptr;
}

Result<std::unique_ptr<GuardedMapping>> GuardedMapping::map(int descriptor, std::uint64_t offset_bytes,
                                                            std::uint64_t size_bytes) {
  install();
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto start = offset_bytes / page * page;
  const auto mapped = (offset_bytes + size_bytes - start + page - 1) / page * page;
  const auto refused = [&](const char* why) {
    return Error(ErrorCode::resource_exhausted, "VRG-API-033",
                 fmt::format("{} bytes of shared memory cannot be mapped: {}; unregister regions that are not used",
                             size_bytes, why));
  };
  // Vectorised kernels read a little past the end of a tensor: a page of our own lies there.
  void* place =
      ::mmap(nullptr, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return refused(std::strerror(errno));
  auto* begin = static_cast<std::byte*>(place);
  Slot* slot = nullptr;
  const char* why = nullptr;
  if (::mmap(place, mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, static_cast<off_t>(start)) ==
      MAP_FAILED) {
    why = std::strerror(errno);
  } else if (slot = take_slot(); slot == nullptr) {
    why = "there are too many";
  }
  if (why != nullptr) {
    ::munmap(place, mapped + page);
    return refused(why);
  }
  slot->broken = false;
  slot->size_bytes = mapped;
  slot->begin.store(begin, std::memory_order_release);
  const auto skipped = static_cast<std::size_t>(offset_bytes - start);
  return std::unique_ptr<GuardedMapping>(
      new GuardedMapping(*slot, std::span(begin + skipped, static_cast<std::size_t>(size_bytes))));
}

GuardedMapping::~GuardedMapping() {
  auto* begin = slot_.begin.exchange(nullptr);
  ::munmap(begin, slot_.size_bytes + static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  slot_.taken = false;
}

bool GuardedMapping::broken() const noexcept {
  return slot_.broken.load(std::memory_order_acquire);
}

}  // namespace verge::inference_api
