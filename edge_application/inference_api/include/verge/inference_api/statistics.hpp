// Statistics: what the requests of a model took, as the protocol's statistics extension counts it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>

namespace verge::inference_api {

/// One request: its times, in nanoseconds, and its share of a run.
struct RequestTimes {
  std::int64_t queue_ns = 0;
  std::int64_t input_ns = 0;  ///< Writing the input tensors.
  std::int64_t infer_ns = 0;
  std::int64_t output_ns = 0;   ///< Reading the output tensors.
  std::int64_t rows = 1;        ///< Samples of the request.
  std::int64_t batch_rows = 1;  ///< Samples of the run that it was part of.
  [[nodiscard]] std::int64_t total_ns() const noexcept { return queue_ns + input_ns + infer_ns + output_ns; }
};

/// Counters of one model, since it was loaded. Thread-safe, without locks: a reading may be between two of the numbers
/// of one request.
class Statistics {
 public:
  struct Duration {
    std::int64_t count = 0;
    std::int64_t ns = 0;
  };
  struct Batch {
    Duration input;
    Duration infer;
    Duration output;
  };
  struct Reading {
    std::int64_t last_inference_ms = 0;  ///< Since 1970; 0: never.
    std::int64_t inference_count = 0;    ///< Samples: a batch of 8 counts 8.
    std::int64_t execution_count = 0;    ///< Runs of the model: several requests may have shared one.
    Duration success;
    Duration fail;
    Duration queue;
    Duration input;
    Duration infer;
    Duration output;
    std::map<std::int64_t, Batch> batches;  ///< By their size; those above the largest that is counted are not in it.
  };
  static constexpr std::size_t kLargestBatch = 64;

  void succeed(const RequestTimes& times) noexcept {
    last_ms_.store(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count(),
        std::memory_order_relaxed);
    const auto batch_rows = std::max({times.batch_rows, times.rows, std::int64_t{1}});
    samples_.fetch_add(times.rows, std::memory_order_relaxed);
    runs_.fetch_add(times.rows < 1 ? kWhole : times.rows * kWhole / batch_rows, std::memory_order_relaxed);
    success_.add(times.total_ns());
    queue_.add(times.queue_ns);
    auto& of_size =
        batches_[batch_rows > static_cast<std::int64_t>(kLargestBatch) ? 0 : static_cast<std::size_t>(batch_rows)];
    of_size.input.add(times.input_ns);
    of_size.infer.add(times.infer_ns);
    of_size.output.add(times.output_ns);
  }
  void fail(std::int64_t total_ns) noexcept { fail_.add(total_ns); }
  [[nodiscard]] Reading read() const;

 private:
  static constexpr std::int64_t kWhole = 1'000'000'000;
  struct Counter {
    std::atomic<std::int64_t> count{0};
    std::atomic<std::int64_t> ns{0};
    void add(std::int64_t taken_ns) noexcept {
      count.fetch_add(1, std::memory_order_relaxed);
      ns.fetch_add(taken_ns, std::memory_order_relaxed);
    }
    [[nodiscard]] Duration read() const noexcept {
      return {count.load(std::memory_order_relaxed), ns.load(std::memory_order_relaxed)};
    }
  };
  struct BatchCounters {
    Counter input;
    Counter infer;
    Counter output;
  };

  std::atomic<std::int64_t> last_ms_{0};
  std::atomic<std::int64_t> samples_{0};
  std::atomic<std::int64_t> runs_{0};  ///< In parts of kWhole: requests that share a run have a part each.
  Counter success_;
  Counter fail_;
  Counter queue_;
  std::array<BatchCounters, kLargestBatch + 1> batches_;  ///< The first counts all that are larger.
};

}  // namespace verge::inference_api
