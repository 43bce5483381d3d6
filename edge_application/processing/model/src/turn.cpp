#include "verge/processing/turn.hpp"

#include <fmt/format.h>

#include "batches.hpp"

namespace verge::processing {

/// What a member of a batch holds.
struct Turn::Share {
  Rows rows;
  std::vector<std::vector<std::int64_t>> input_shapes;
  std::vector<std::vector<std::int64_t>> output_shapes;
  std::vector<TensorView> outputs;
};

Turn::Turn(WorkerPool& pool, const Urgency& urgency) : pool_(pool), urgency_(urgency) {}

Turn::~Turn() {
  if (share_ != nullptr) pool_.batches()->leave(share_->rows);
  if (!borrowed_.empty()) (*lease_)->unbind();
}

Result<TensorView> Turn::input(std::size_t index, std::span<const std::int64_t> shape) {
  if (pool_.batches() != nullptr && !lease_) {
    VERGE_TRY(check_input_shape(pool_.model().inputs()[index], shape));
    const auto rows = shape.front();
    if (share_ == nullptr && rows < pool_.options().batching.max_rows) {
      share_ = std::make_unique<Share>();
      share_->input_shapes.resize(pool_.model().inputs().size());
      share_->rows = pool_.batches()->join(rows, urgency_);
    }
    if (share_ != nullptr) {
      if (rows != share_->rows.count) {
        return Error(ErrorCode::invalid_argument, "VRG-MDL-005",
                     fmt::format("expected input '{}' with as many rows as the first one, {}, got the shape {}",
                                 pool_.model().inputs()[index].name, share_->rows.count, describe(shape)));
      }
      auto& kept = share_->input_shapes[index];
      kept.assign(shape.begin(), shape.end());
      return pool_.batches()->input(share_->rows, index, kept);
    }
  }
  if (!lease_) {
    const auto start = std::chrono::steady_clock::now();
    VERGE_ASSIGN(auto lease, pool_.acquire(urgency_));
    lease_.emplace(std::move(lease));
    times_.wait_ns = std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
  }
  return (*lease_)->input(index, shape);
}

bool Turn::borrow_input(std::size_t index, Borrowed lent) {
  if (!lease_ || !(*lease_)->bind_input(index, lent.memory)) return false;
  borrowed_.push_back(std::move(lent));
  return true;
}

bool Turn::borrow_output(std::size_t index, Borrowed lent) {
  if (!lease_ || !(*lease_)->bind_output(index, lent.memory)) return false;
  borrowed_.push_back(std::move(lent));
  return true;
}

Result<std::span<const TensorView>> Turn::infer() {
  if (share_ != nullptr) return infer_together();
  auto outputs = (*lease_)->infer();
  lease_->release_threads();
  times_.infer_ns = (*lease_)->times().infer_ns;
  return outputs;
}

Result<std::span<const TensorView>> Turn::infer_together() {
  const auto start = std::chrono::steady_clock::now();
  VERGE_TRY(pool_.batches()->run(share_->rows, urgency_));
  const Batch& batch = *share_->rows.batch;
  times_.infer_ns = batch.times.infer_ns;
  times_.batch_rows = batch.rows;
  const auto took = std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
  times_.wait_ns = std::max<std::int64_t>(took - times_.infer_ns, 0);
  const auto count = pool_.model().outputs().size();
  share_->output_shapes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    share_->outputs.push_back(pool_.batches()->output(share_->rows, i, share_->output_shapes[i]));
  }
  return std::span<const TensorView>(share_->outputs);
}

const LoadedModel& Turn::model() const noexcept {
  return pool_.model();
}
const StageTimes& Turn::times() const noexcept {
  return times_;
}

}  // namespace verge::processing
