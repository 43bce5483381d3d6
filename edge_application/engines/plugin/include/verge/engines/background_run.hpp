// BackgroundRun: request_start() and request_wait() for engines that can only run and block.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "verge/engines/plugin.hpp"

namespace verge::engines {

/// State of a request's asynchronous run, as the ABI promises it: one run at a time, `done` called before wait()
/// returns. Used by one thread of the host and one of the engine. Allocates nothing after construction but messages of
/// failures.
class AsyncState {
 public:
  /// Throws Failure(INVALID_ARGUMENT) when a run is under way.
  void begin(verge_engine_done done, void* user_data) {
    const std::lock_guard lock(mutex_);
    if (running_) throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a run of this request is under way: wait for it first");
    running_ = true;
    started_ = true;
    done_ = done;
    user_data_ = user_data;
  }

  /// The run has ended: calls `done`, then lets wait() return.
  void end(verge_engine_status status, std::string_view message) noexcept {
    if (done_ != nullptr) done_(user_data_, status, status == VERGE_ENGINE_OK ? "" : message.data());
    {
      const std::lock_guard lock(mutex_);
      status_ = status;
      write_message(&error_, message);
      running_ = false;
    }
    ended_.notify_all();
  }

  /// Waits for the run that was begun. Throws Failure(INVALID_ARGUMENT) when none was.
  verge_engine_status wait(verge_engine_error* error) {
    std::unique_lock lock(mutex_);
    if (!started_) throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "no run of this request was started");
    ended_.wait(lock, [this] { return !running_; });
    write_message(error, error_.message);
    return status_;
  }

  [[nodiscard]] bool running() const {
    const std::lock_guard lock(mutex_);
    return running_;
  }
  void check_idle() const {
    if (running()) {
      throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a run of this request is under way: wait for it first");
    }
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  bool running_ = false;
  bool started_ = false;
  verge_engine_done done_ = nullptr;
  void* user_data_ = nullptr;
  verge_engine_status status_ = VERGE_ENGINE_OK;
  verge_engine_error error_{};
};

/// Runs a blocking function in a thread of its own, made when first started.
template <typename Run>
class BackgroundRun {
 public:
  /// `run` throws Failure, or returns when the run has ended.
  explicit BackgroundRun(Run run) : run_(std::move(run)) {}
  ~BackgroundRun() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  BackgroundRun(const BackgroundRun&) = delete;
  BackgroundRun& operator=(const BackgroundRun&) = delete;

  void start(verge_engine_done done, void* user_data) {
    state_.begin(done, user_data);
    try {
      if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
    } catch (...) {
      state_.end(VERGE_ENGINE_FAILED, "no thread could be made");
      throw;
    }
    {
      const std::lock_guard lock(mutex_);
      pending_ = true;
    }
    wake_.notify_one();
  }
  verge_engine_status wait(verge_engine_error* error) { return state_.wait(error); }
  [[nodiscard]] bool running() const { return state_.running(); }
  void check_idle() const { state_.check_idle(); }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return pending_ || stop_; });
      if (!pending_) return;
      pending_ = false;
      lock.unlock();
      verge_engine_error error;
      const verge_engine_status status = at_boundary(&error, run_);
      state_.end(status, error.message);
      lock.lock();
    }
  }

  Run run_;
  AsyncState state_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool pending_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace verge::engines
