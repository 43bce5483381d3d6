#include "executorch_threads.hpp"

#include <cstddef>
#include <new>

// The wheel has no headers of pthreadpool: these are its public functions (github.com/google/pthreadpool).
extern "C" {
pthreadpool* pthreadpool_create(std::size_t threads);
void pthreadpool_destroy(pthreadpool* pool);
}

namespace verge::engines::executorch {
namespace {

thread_local pthreadpool* pool_of_this_thread = nullptr;

}  // namespace

ThreadPool::ThreadPool(std::uint32_t threads) {
  if (threads <= 1) return;
  pool_.reset(pthreadpool_create(threads));
  if (pool_ == nullptr) throw std::bad_alloc();
}

void ThreadPool::Destroy::operator()(pthreadpool* pool) const noexcept {
  pthreadpool_destroy(pool);
}

PoolForThisThread::PoolForThisThread(const ThreadPool& pool) noexcept : before_(pool_of_this_thread) {
  pool_of_this_thread = pool.handle();
}

PoolForThisThread::~PoolForThisThread() {
  pool_of_this_thread = before_;
}

static pthreadpool* present_pool() noexcept {
  return pool_of_this_thread;
}

}  // namespace verge::engines::executorch

namespace executorch::extension::threadpool {

__attribute__((visibility("default"))) pthreadpool* get_pthreadpool();
pthreadpool* get_pthreadpool() {
  return verge::engines::executorch::present_pool();
}

}  // namespace executorch::extension::threadpool
