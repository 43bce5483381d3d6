// Threads of ExecuTorch's delegates.
//
// ExecuTorch has one pool of threads for the whole process, of which XNNPACK keeps the address when a model is loaded,
// so that the pool's size cannot change afterwards and all models stand in one queue. Here each interpreter has a pool
// of its own: this plug-in defines get_pthreadpool(), which libexecutorch_backend_xnnpack.so calls while it builds a
// model. The plug-in comes first among the libraries that it brought, so that its definition is the one that is found.
#pragma once

#include <cstdint>
#include <memory>

struct pthreadpool;

namespace verge::engines::executorch {

/// A pool of `threads` threads, the caller's included; none for one thread.
class ThreadPool {
 public:
  explicit ThreadPool(std::uint32_t threads);
  [[nodiscard]] pthreadpool* handle() const noexcept { return pool_.get(); }

 private:
  struct Destroy {
    void operator()(pthreadpool* pool) const noexcept;
  };
  std::unique_ptr<pthreadpool, Destroy> pool_;
};

/// While it lives, what ExecuTorch builds in this thread gets this pool.
class PoolForThisThread {
 public:
  explicit PoolForThisThread(const ThreadPool& pool) noexcept;
  ~PoolForThisThread();
  PoolForThisThread(const PoolForThisThread&) = delete;
  PoolForThisThread& operator=(const PoolForThisThread&) = delete;

 private:
  pthreadpool* before_;
};

}  // namespace verge::engines::executorch
