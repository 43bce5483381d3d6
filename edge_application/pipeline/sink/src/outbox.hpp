// Outbox: events that wait for their receiver, in memory or in a spool.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "verge/pipeline/sink.hpp"

namespace verge::pipeline {

/// An event on its way.
struct Message {
  std::uint64_t sequence = 0;  ///< In the outbox.
  std::string text;            ///< As it is sent: of a spool with its stream and number in front.
  std::string key;             ///< "<stream>-<number>", the same each time this event is sent; empty: it is sent once.
};

/// Thread-safe; take() is for one thread.
class Outbox {
 public:
  Outbox() = default;
  virtual ~Outbox() = default;
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  /// What there is no room for goes, and is counted.
  virtual Result<void> put(std::string_view text) = 0;
  /// As spool::Spool::take().
  virtual bool take(Message& message, const std::stop_token& stop, std::chrono::milliseconds wait) = 0;
  virtual void mark(std::uint64_t sequence, bool delivered) = 0;
  /// Of what waits those that are taken and not marked are a part.
  [[nodiscard]] virtual Deliveries deliveries() const = 0;
};

/// At most `most` wait; then the oldest makes room. What is left at the end is lost.
[[nodiscard]] std::unique_ptr<Outbox> memory_outbox(std::size_t most);
[[nodiscard]] std::unique_ptr<Outbox> spooled_outbox(std::shared_ptr<spool::Spool> spool);

}  // namespace verge::pipeline
