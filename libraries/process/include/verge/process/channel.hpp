// Channel: packets between a process and one that it started, over a Unix socket; descriptors go along.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "verge/base/descriptor.hpp"

namespace verge::process {

/// A received packet.
struct Packet {
  std::span<const std::byte> bytes;  ///< Valid until the next one.
  Descriptor descriptor;             ///< That came along; empty when none did.
};

/// One end. Used by one thread at a time.
class Channel {
 public:
  /// `limit_bytes`: of a packet; a longer one is neither sent nor taken.
  Channel(Descriptor socket, std::size_t limit_bytes) : socket_(std::move(socket)), limit_bytes_(limit_bytes) {}
  /// Both ends; unusable ones (number() < 0) when the system gives none.
  static std::pair<Descriptor, Descriptor> pair();

  /// One packet of both parts. False: the other side has gone, or it is too long.
  bool send(std::span<const std::byte> head, std::span<const std::byte> content, int descriptor = -1);

  enum class Outcome { received, closed, timed_out };
  /// Waits at most `patience`; without one, for ever. A packet that is too long counts as closed.
  Outcome receive(Packet& packet, std::chrono::milliseconds patience = std::chrono::milliseconds(-1));
  [[nodiscard]] int number() const noexcept { return socket_.number(); }

 private:
  Descriptor socket_;
  std::size_t limit_bytes_;
  std::vector<std::byte> buffer_;
};

}  // namespace verge::process
