// Turn: one request's use of a model, alone or as some rows of a batch.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "verge/base/error.hpp"
#include "verge/processing/worker_pool.hpp"

namespace verge::processing {

/// Memory of somebody else's, as long as `owner` is held.
struct Borrowed {
  std::span<std::byte> memory;
  std::shared_ptr<const void> owner;
};

/// Used by one thread. Gives its place back when it ends. Must not outlive the pool. In a batch the latest deadline of
/// its members counts.
class Turn {
 public:
  /// Takes no place yet: a request that is malformed holds nobody up.
  Turn(WorkerPool& pool, const Urgency& urgency);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  /// Memory of input tensor `index` (the package's order) to write into, of this shape. The first call waits for a
  /// place. Errors: those of Worker::input() and WorkerPool::acquire().
  Result<TensorView> input(std::size_t index, std::span<const std::int64_t> shape);
  /// Takes the memory in place of an input's, which input() has given its shape, or an output's, until the turn ends:
  /// nothing is copied. False: here it must be copied; see Worker::bind_input().
  bool borrow_input(std::size_t index, Borrowed lent);
  bool borrow_output(std::size_t index, Borrowed lent);
  /// Runs the model on what the inputs hold, once all have been written; outputs in the package's order, valid until
  /// the turn ends. Errors: the engine's; deadline_exceeded (VRG-MDL-007).
  Result<std::span<const TensorView>> infer();

  [[nodiscard]] const LoadedModel& model() const noexcept;
  /// Of infer(); `wait_ns` is the time it waited for its place.
  [[nodiscard]] const StageTimes& times() const noexcept;

 private:
  WorkerPool& pool_;
  Urgency urgency_;
  struct Share;
  Result<std::span<const TensorView>> infer_together();
  std::optional<WorkerPool::Lease> lease_;  ///< When it runs alone,
  std::unique_ptr<Share> share_;            ///< or with others.
  std::vector<Borrowed> borrowed_;
  StageTimes times_;
};

}  // namespace verge::processing
