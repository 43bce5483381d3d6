#include "batches.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace verge::processing {
namespace {

bool only_rows_vary(const TensorSpec& spec) {
  return !spec.shape.empty() && spec.shape.front() < 0 &&
         std::all_of(spec.shape.begin() + 1, spec.shape.end(), [](std::int64_t size) { return size >= 0; }) &&
         spec.datatype != DataType::bytes;
}

std::size_t row_bytes(const TensorSpec& spec) {
  auto shape = spec.shape;
  shape.front() = 1;
  return element_count(shape).value_or(0) * size_bytes(spec.datatype);
}

}  // namespace

bool Batches::possible(const LoadedModel& model) {
  return std::ranges::all_of(model.inputs(), only_rows_vary) && std::ranges::all_of(model.outputs(), only_rows_vary);
}

Batches::Batches(WorkerPool& pool) : pool_(pool) {
  for (const auto& spec : pool.model().inputs()) input_row_bytes_.push_back(row_bytes(spec));
}
Batches::~Batches() = default;

Rows Batches::join(std::int64_t rows, const Urgency& urgency) {
  const auto most = pool_.options().batching.max_rows;
  const std::lock_guard lock(mutex_);
  const bool leads = open_ == nullptr || open_->rows + rows > most;
  if (leads) {
    if (free_.empty()) {
      auto& batch = *all_.emplace_back(std::make_unique<Batch>());
      for (const auto size : input_row_bytes_) batch.inputs.emplace_back(size * static_cast<std::size_t>(most));
      batch.outputs.resize(pool_.model().outputs().size());
      batch.output_shapes.resize(batch.outputs.size());
      free_.push_back(&batch);
    }
    // One that is full already goes on without being open; its leader has it.
    open_ = free_.back();
    free_.pop_back();
    open_->rows = 0;
    open_->members = open_->writing = open_->present = 0;
    open_->opened = std::chrono::steady_clock::now();
    open_->deadline = urgency.deadline;
    open_->done = false;
    open_->error.reset();
  }
  Batch& batch = *open_;
  const Rows mine{&batch, batch.rows, rows, leads, false};
  batch.rows += rows;
  ++batch.members;
  ++batch.writing;
  ++batch.present;
  batch.deadline = std::max(batch.deadline, urgency.deadline);
  if (batch.rows == most) {
    open_ = nullptr;
    batch.changed.notify_all();
  }
  return mine;
}

TensorView Batches::input(const Rows& rows, std::size_t index, std::span<const std::int64_t> shape) const {
  const std::size_t size = input_row_bytes_[index];
  TensorView view;
  view.datatype = pool_.model().inputs()[index].datatype;
  view.shape = shape;
  view.data = rows.batch->inputs[index].data() + size * static_cast<std::size_t>(rows.first);
  view.size_bytes = size * static_cast<std::size_t>(rows.count);
  return view;
}

Result<void> Batches::run(Rows& rows, const Urgency& urgency) {
  Batch& batch = *rows.batch;
  {
    std::unique_lock lock(mutex_);
    rows.written = true;
    if (--batch.writing == 0) batch.changed.notify_all();
    if (!rows.leads) {
      batch.changed.wait(lock, [&] { return batch.done; });
    }
  }
  if (rows.leads) lead(batch, urgency);
  if (batch.error) return *batch.error;
  return {};
}

/// While a worker is busy others join; when one is free at once they have `max_delay` to do so.
void Batches::lead(Batch& batch, const Urgency& urgency) {
  Urgency of_all{{}, urgency.priority};
  {
    std::unique_lock lock(mutex_);
    if (pool_.options().batching.max_delay.count() > 0) wait_for_company(batch, lock);
    of_all.deadline = batch.deadline;
  }
  auto lease = pool_.acquire(of_all);
  {
    std::unique_lock lock(mutex_);
    if (open_ == &batch) open_ = nullptr;
    batch.changed.wait(lock, [&] { return batch.writing == 0; });
  }
  std::optional<Error> error;
  if (!lease) {
    error = lease.error();
  } else if (auto ran = run_together(batch, **lease); !ran) {
    error = ran.error();
  }
  const std::lock_guard lock(mutex_);
  batch.error = std::move(error);
  batch.done = true;
  batch.changed.notify_all();
}

void Batches::wait_for_company(Batch& batch, std::unique_lock<std::mutex>& lock) {
  batch.changed.wait_until(lock, batch.opened + pool_.options().batching.max_delay,
                           [&] { return open_ != &batch && batch.writing == 0; });
}

Result<void> Batches::run_together(Batch& batch, Worker& worker) const {
  const auto specs = pool_.model().inputs();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    std::vector<std::int64_t> shape = specs[i].shape;
    shape.front() = batch.rows;
    VERGE_ASSIGN(const TensorView tensor, worker.input(i, shape));
    std::memcpy(tensor.data, batch.inputs[i].data(), tensor.size_bytes);
  }
  VERGE_ASSIGN(const auto outputs, worker.infer());
  batch.times = worker.times();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const TensorView& tensor = outputs[i];
    if (tensor.shape.empty() || tensor.shape.front() != batch.rows) {
      return Error(ErrorCode::internal, "VRG-MDL-009",
                   fmt::format("output '{}' has the shape {} for a batch of {} rows; switch 'batching' off for this "
                               "model",
                               pool_.model().outputs()[i].name, describe(tensor.shape), batch.rows));
    }
    batch.outputs[i].assign(tensor.data, tensor.data + tensor.size_bytes);
    batch.output_shapes[i].assign(tensor.shape.begin(), tensor.shape.end());
  }
  return {};
}

TensorView Batches::output(const Rows& rows, std::size_t index, std::vector<std::int64_t>& shape) const {
  Batch& batch = *rows.batch;
  shape = batch.output_shapes[index];
  const std::size_t size = batch.outputs[index].size() / static_cast<std::size_t>(batch.rows);
  shape.front() = rows.count;
  TensorView view;
  view.datatype = pool_.model().outputs()[index].datatype;
  view.shape = shape;
  view.data = batch.outputs[index].data() + size * static_cast<std::size_t>(rows.first);
  view.size_bytes = size * static_cast<std::size_t>(rows.count);
  return view;
}

/// A member that gives up before it has written leaves rows that nobody reads. A leader that gives up takes the batch
/// with it only when it is alone.
void Batches::leave(Rows& rows) {
  Batch& batch = *rows.batch;
  std::unique_lock lock(mutex_);
  if (!rows.written) {
    rows.written = true;
    if (--batch.writing == 0) batch.changed.notify_all();
    if (rows.leads) {
      if (open_ == &batch) open_ = nullptr;
      if (batch.present > 1) {
        lock.unlock();
        lead(batch, {});
        lock.lock();
      }
    }
  }
  if (--batch.present == 0) free_.push_back(&batch);
  rows.batch = nullptr;
}

}  // namespace verge::processing
