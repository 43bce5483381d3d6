// Batches: requests of one model that run together.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "verge/processing/worker_pool.hpp"

namespace verge::processing {

/// One batch: its members write their rows side by side, the first of them runs it, all read their rows. Recycled.
struct Batch {
  std::vector<std::vector<std::byte>> inputs;
  std::vector<std::vector<std::byte>> outputs;
  std::vector<std::vector<std::int64_t>> output_shapes;  ///< First dimension: the rows of the whole batch.
  std::int64_t rows = 0;
  std::size_t members = 0;  ///< That have joined.
  std::size_t writing = 0;  ///< Of them, those whose rows are not complete yet.
  std::size_t present = 0;  ///< Of them, those that have not left.
  std::chrono::steady_clock::time_point opened{};
  std::chrono::steady_clock::time_point deadline{};  ///< The latest of its members.
  bool done = false;
  std::optional<Error> error;
  StageTimes times;
  std::condition_variable changed;
};

/// A member's part of a batch.
struct Rows {
  Batch* batch = nullptr;
  std::int64_t first = 0;
  std::int64_t count = 0;
  bool leads = false;  ///< Runs it.
  bool written = false;
};

/// Thread-safe.
class Batches {
 public:
  /// Whether each tensor of the model has a variable first dimension, and no other.
  static bool possible(const LoadedModel& model);
  explicit Batches(WorkerPool& pool);
  ~Batches();

  /// Rows in the batch that is open, or in a new one.
  Rows join(std::int64_t rows, const Urgency& urgency);
  /// Memory of these rows in an input.
  TensorView input(const Rows& rows, std::size_t index, std::span<const std::int64_t> shape) const;
  /// The member has written its rows: runs the batch, or waits for it.
  Result<void> run(Rows& rows, const Urgency& urgency);
  /// These rows of an output, valid until leave(). `shape` is written and referred to.
  TensorView output(const Rows& rows, std::size_t index, std::vector<std::int64_t>& shape) const;
  void leave(Rows& rows);

 private:
  void lead(Batch& batch, const Urgency& urgency);
  Result<void> run_together(Batch& batch, Worker& worker) const;
  void wait_for_company(Batch& batch, std::unique_lock<std::mutex>& lock);

  WorkerPool& pool_;
  std::vector<std::size_t> input_row_bytes_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Batch>> all_;
  std::vector<Batch*> free_;
  Batch* open_ = nullptr;
};

}  // namespace verge::processing
