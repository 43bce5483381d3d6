// Channel: messages between the agent and the process that an engine runs in.
//
// One channel for a session (load), one for each of its requests, so that requests run side by side. A message is a
// Frame and its content, in one packet of a Unix socket; memory goes along as a file descriptor. Both sides are of one
// build, on one machine: numbers are in the machine's own order.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/base/descriptor.hpp"
#include "verge/engines/abi.h"
#include "verge/process/channel.hpp"

namespace verge::processing::isolation {

enum class Kind : std::uint32_t {
  load,        ///< JSON: engine and options. Answer: JSON: version and tensors.
  request,     ///< With the channel of a new request. No answer; what follows goes over that channel.
  describe,    ///< Answer: TensorPlace for each input, without a place yet.
  set_shape,   ///< Of input `index`: its dimensions. Answer as for describe.
  use_inputs,  ///< With memory: TensorPlace for each input.
  run,         ///< Answer: TensorPlace for each output; with memory when it is new.
  answer
};

/// What every message begins with.
struct Frame {
  Kind kind = Kind::answer;
  std::uint32_t index = 0;
  verge_engine_status status = VERGE_ENGINE_OK;  ///< Of an answer; when it is not OK the content is the reason.
  std::uint32_t memory_is_new = 0;
  std::uint64_t memory_size_bytes = 0;
};

/// Where a tensor lies in shared memory.
struct TensorPlace {
  std::uint32_t datatype = 0;
  std::uint32_t rank = 0;
  std::int64_t shape[VERGE_ENGINE_MAX_RANK] = {};
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;  ///< 0: has no memory before its shape is set.

  [[nodiscard]] std::span<const std::int64_t> dimensions() const noexcept { return {shape, rank}; }
};

/// Gives each tensor its place, aligned as engines want it; returns the bytes of all.
std::uint64_t lay_out(std::span<TensorPlace> places);

/// A received message.
struct Message {
  Frame frame;
  std::span<const std::byte> content;  ///< Valid until the next one.
  Descriptor descriptor;

  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(content.data()), content.size()};
  }
  /// The content as tensors; false when it is none, or not `count` of them.
  [[nodiscard]] bool places(std::size_t count, std::vector<TensorPlace>& out) const;
};

/// One end. Used by one thread at a time.
class Channel {
 public:
  explicit Channel(Descriptor socket);
  /// Both ends; unusable ones (number() < 0) when the system gives none.
  static std::pair<Descriptor, Descriptor> pair() { return process::Channel::pair(); }

  /// False: the other side has gone, or the content is too large.
  bool send(const Frame& frame, std::span<const std::byte> content = {}, int descriptor = -1);
  bool send_text(const Frame& frame, std::string_view text, int descriptor = -1);
  bool send_places(const Frame& frame, std::span<const TensorPlace> places, int descriptor = -1);

  using Outcome = process::Channel::Outcome;
  /// Waits at most `patience`; without one, for ever.
  Outcome receive(Message& message, std::chrono::milliseconds patience = std::chrono::milliseconds(-1));
  [[nodiscard]] int number() const noexcept { return packets_.number(); }

 private:
  process::Channel packets_;
};

}  // namespace verge::processing::isolation
