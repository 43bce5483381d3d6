#include "served_request.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "verge/process/shared_memory.hpp"

namespace verge::processing::isolation {
namespace {

constexpr std::size_t kMessageLimit = 1000;  // What the ABI has room for.

TensorPlace place_of(const TensorView& tensor) {
  TensorPlace place;
  place.datatype = static_cast<std::uint32_t>(tensor.datatype);
  place.rank = static_cast<std::uint32_t>(tensor.shape.size());
  std::ranges::copy(tensor.shape, place.shape);
  place.size_bytes = tensor.size_bytes;
  return place;
}

class ServedRequest {
 public:
  ServedRequest(Channel channel, Session& session, const std::string& context, Request request)
      : channel_(std::move(channel)),
        context_(context),
        request_(std::move(request)),
        inputs_(session.inputs().size()),
        outputs_(session.outputs().size()) {}

  void serve() {
    while (channel_.receive(message_) == Channel::Outcome::received) {
      const auto done = answer();
      if (!done && !channel_.send_text({.status = status_of(done.error())}, reason_of(done.error(), context_))) return;
    }
  }

 private:
  Result<void> answer() {
    switch (message_.frame.kind) {
      case Kind::describe: return describe();
      case Kind::set_shape: return set_shape();
      case Kind::use_inputs: return use_inputs();
      case Kind::run: return run();
      case Kind::load:
      case Kind::request:
      case Kind::answer: break;
    }
    return Error(ErrorCode::internal, "VRG-ENG-017", "a request does not know this message");
  }

  Result<void> describe() {
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i] = place_of(request_.input(i));
    channel_.send_places({}, inputs_);
    return {};
  }

  Result<void> set_shape() {
    std::array<std::int64_t, VERGE_ENGINE_MAX_RANK> shape{};
    const auto size = std::min(message_.content.size(), sizeof(shape));
    std::memcpy(shape.data(), message_.content.data(), size);
    VERGE_TRY(request_.set_input_shape(message_.frame.index, std::span(shape).first(size / sizeof(std::int64_t))));
    return describe();
  }

  Result<void> use_inputs() {
    VERGE_ASSIGN(auto memory,
                 process::SharedMemory::open(std::move(message_.descriptor), message_.frame.memory_size_bytes));
    if (!message_.places(inputs_.size(), inputs_)) {
      return Error(ErrorCode::internal, "VRG-ENG-017", "the places of the inputs make no sense");
    }
    copied_.clear();
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].size_bytes == 0) continue;
      const auto bytes = memory.bytes().subspan(inputs_[i].offset_bytes, inputs_[i].size_bytes);
      if (!request_.bind_input(i, bytes)) copied_.push_back(i);
    }
    input_memory_ = std::move(memory);  // After binding: the old memory may still be bound until then.
    channel_.send({});
    return {};
  }

  Result<void> run() {
    for (const auto i : copied_) {
      const TensorView& tensor = request_.input(i);
      std::memcpy(tensor.data, input_memory_.bytes().data() + inputs_[i].offset_bytes, tensor.size_bytes);
    }
    VERGE_TRY(request_.run());
    for (std::size_t i = 0; i < outputs_.size(); ++i) outputs_[i] = place_of(request_.output(i));
    const auto size = lay_out(outputs_);
    Frame frame;
    if (size > output_memory_.bytes().size()) {
      VERGE_ASSIGN(output_memory_, process::SharedMemory::create(size));
      frame.memory_is_new = 1;
    }
    frame.memory_size_bytes = output_memory_.bytes().size();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const TensorView& tensor = request_.output(i);
      if (tensor.size_bytes == 0) continue;
      std::memcpy(output_memory_.bytes().data() + outputs_[i].offset_bytes, tensor.data, tensor.size_bytes);
    }
    channel_.send_places(frame, outputs_, frame.memory_is_new != 0 ? output_memory_.descriptor() : -1);
    return {};
  }

  Channel channel_;
  const std::string& context_;
  process::SharedMemory input_memory_;  // Before the request, which may have bound it.
  process::SharedMemory output_memory_;
  Request request_;
  Message message_;
  std::vector<TensorPlace> inputs_;
  std::vector<TensorPlace> outputs_;
  std::vector<std::size_t> copied_;  ///< Inputs that the engine keeps in memory of its own.
};

}  // namespace

void serve_request(Channel channel, Session& session, const std::string& context) {
  auto request = session.create_request();
  if (!request) {
    Message first;
    if (channel.receive(first) == Channel::Outcome::received) {
      channel.send_text({.status = status_of(request.error())}, reason_of(request.error(), context));
    }
    return;
  }
  ServedRequest(std::move(channel), session, context, std::move(*request)).serve();
}

verge_engine_status status_of(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::invalid_argument: return VERGE_ENGINE_INVALID_ARGUMENT;
    case ErrorCode::unimplemented: return VERGE_ENGINE_UNSUPPORTED;
    case ErrorCode::data_loss: return VERGE_ENGINE_CORRUPT;
    case ErrorCode::unavailable: return VERGE_ENGINE_UNAVAILABLE;
    case ErrorCode::resource_exhausted: return VERGE_ENGINE_OUT_OF_MEMORY;
    case ErrorCode::cancelled: return VERGE_ENGINE_CANCELLED;
    default: return VERGE_ENGINE_FAILED;
  }
}

std::string reason_of(const Error& error, const std::string& context) {
  std::string_view reason = error.message();
  if (reason.starts_with(context)) reason.remove_prefix(context.size());
  return std::string(reason.substr(0, kMessageLimit));
}

}  // namespace verge::processing::isolation
