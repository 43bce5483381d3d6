#include <algorithm>

#include <fmt/format.h>

#include "isolated_session.hpp"

namespace verge::processing::isolation {
namespace {

using engines::Failure;

void give(const TensorPlace& place, const process::SharedMemory& memory, verge_engine_tensor* out) {
  engines::give_host_memory(static_cast<verge_engine_datatype>(place.datatype), place.dimensions(),
                            memory.bytes().data() + place.offset_bytes, place.size_bytes, out);
}

bool lies_within(const TensorPlace& place, std::size_t size_bytes) {
  return place.size_bytes <= size_bytes && place.offset_bytes <= size_bytes - place.size_bytes;
}

}  // namespace

IsolatedRequest::IsolatedRequest(IsolatedSession& session)
    : session_(session), shapes_(session.inputs().size()), outputs_(session.outputs().size()) {
  connect();
}

/// A request of the process that runs now, with the shapes and the memory that this one has.
void IsolatedRequest::connect() {
  line_.emplace(session_.connect());
  message_.descriptor = {};
  take_places(ask({.kind = Kind::describe}));
  for (std::size_t i = 0; i < shapes_.size(); ++i) {
    if (shapes_[i].empty()) continue;
    take_places(
        ask({.kind = Kind::set_shape, .index = static_cast<std::uint32_t>(i)}, std::as_bytes(std::span(shapes_[i]))));
  }
  share_inputs();
}

Message& IsolatedRequest::ask(const Frame& frame, std::span<const std::byte> content, int descriptor) {
  const bool sent = line_->channel.send(frame, content, descriptor);
  const auto outcome =
      sent ? line_->channel.receive(message_, session_.isolation().run_timeout) : Channel::Outcome::closed;
  if (outcome != Channel::Outcome::received) {
    const auto generation = line_->generation;
    line_.reset();
    std::string why;
    if (outcome == Channel::Outcome::timed_out) {
      why = fmt::format("was ended: it took more than {} ms", session_.isolation().run_timeout.count());
    }
    throw Failure(VERGE_ENGINE_FAILED, "the model's process " + session_.bury(generation, why));
  }
  if (message_.frame.status != VERGE_ENGINE_OK) throw Failure(message_.frame.status, std::string(message_.text()));
  return message_;
}

void IsolatedRequest::take_places(const Message& message) {
  if (!message.places(session_.inputs().size(), inputs_)) {
    throw Failure(VERGE_ENGINE_FAILED, "the model's process describes its inputs in a way that makes no sense");
  }
}

/// Keeps the memory, and what it holds, while its layout stays the same: a restart loses no input.
void IsolatedRequest::share_inputs() {
  const auto size = lay_out(inputs_);
  if (input_memory_.bytes().size() != size) {
    auto memory = process::SharedMemory::create(size);
    if (!memory) throw Failure(VERGE_ENGINE_OUT_OF_MEMORY, memory.error().text());
    input_memory_ = std::move(*memory);
  }
  ask({.kind = Kind::use_inputs, .memory_size_bytes = size}, std::as_bytes(std::span(inputs_)),
      input_memory_.descriptor());
}

void IsolatedRequest::set_input_shape(std::uint32_t index, std::span<const std::int64_t> shape) {
  engines::check_index("input", index, inputs_.size());
  background_.check_idle();
  engines::check_shape(session_.inputs()[index], shape);
  if (!line_ || !session_.runs(line_->generation)) connect();
  take_places(ask({.kind = Kind::set_shape, .index = index}, std::as_bytes(shape)));
  shapes_[index].assign(shape.begin(), shape.end());
  input_memory_ = {};
  share_inputs();
}

void IsolatedRequest::input(std::uint32_t index, verge_engine_tensor* out) const {
  engines::check_index("input", index, inputs_.size());
  if (inputs_[index].size_bytes == 0 && engines::is_variable(session_.inputs()[index].shape) &&
      shapes_[index].empty()) {
    engines::check_shape_is_set(session_.inputs()[index], session_.inputs()[index].shape);
  }
  give(inputs_[index], input_memory_, out);
}

void IsolatedRequest::output(std::uint32_t index, verge_engine_tensor* out) const {
  engines::check_index("output", index, outputs_.size());
  if (outputs_[index].size_bytes > 0 && output_memory_.bytes().empty()) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "the request has not run yet");
  }
  give(outputs_[index], output_memory_, out);
}

void IsolatedRequest::bind_input(std::uint32_t /*index*/, const verge_engine_tensor& /*tensor*/) {
  throw Failure(VERGE_ENGINE_UNSUPPORTED, "the memory of a model in a process of its own cannot be replaced");
}
void IsolatedRequest::bind_output(std::uint32_t /*index*/, const verge_engine_tensor& /*tensor*/) {
  throw Failure(VERGE_ENGINE_UNSUPPORTED, "the memory of a model in a process of its own cannot be replaced");
}

void IsolatedRequest::run() {
  background_.check_idle();
  compute();
}

void IsolatedRequest::compute() {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (shapes_[i].empty() && inputs_[i].size_bytes == 0) {
      engines::check_shape_is_set(session_.inputs()[i], session_.inputs()[i].shape);
    }
  }
  if (!line_ || !session_.runs(line_->generation)) connect();
  Message& answer = ask({.kind = Kind::run});
  if (answer.frame.memory_is_new != 0) {
    auto memory = process::SharedMemory::open(std::move(answer.descriptor), answer.frame.memory_size_bytes);
    if (!memory) throw Failure(VERGE_ENGINE_FAILED, memory.error().text());
    output_memory_ = std::move(*memory);
  }
  const bool sense = answer.places(session_.outputs().size(), outputs_) &&
                     std::ranges::all_of(outputs_, [this](const TensorPlace& place) {
                       return lies_within(place, output_memory_.bytes().size());
                     });
  if (!sense)
    throw Failure(VERGE_ENGINE_FAILED, "the model's process describes its outputs in a way that makes no sense");
  session_.check_memory(line_->generation);
}

}  // namespace verge::processing::isolation
