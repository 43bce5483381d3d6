#include "channel.hpp"

#include <algorithm>
#include <cstring>

namespace verge::processing::isolation {
namespace {

constexpr std::size_t kContentLimitBytes = 160U << 10U;  // 1024 tensors, or a long model path with its options.
constexpr std::uint64_t kAlignment = 64;

}  // namespace

std::uint64_t lay_out(std::span<TensorPlace> places) {
  std::uint64_t end = 0;
  for (auto& place : places) {
    place.offset_bytes = end;
    // One step more than needed: vectorised kernels read up to a register past the end.
    end += (place.size_bytes / kAlignment + 2) * kAlignment;
  }
  return end;
}

bool Message::places(std::size_t count, std::vector<TensorPlace>& out) const {
  if (content.size() != count * sizeof(TensorPlace)) return false;
  out.resize(count);
  if (count > 0) std::memcpy(out.data(), content.data(), content.size());
  return std::ranges::all_of(out, [](const TensorPlace& place) { return place.rank <= VERGE_ENGINE_MAX_RANK; });
}

Channel::Channel(Descriptor socket) : packets_(std::move(socket), sizeof(Frame) + kContentLimitBytes) {}

bool Channel::send(const Frame& frame, std::span<const std::byte> content, int descriptor) {
  return packets_.send(std::as_bytes(std::span(&frame, 1)), content, descriptor);
}

bool Channel::send_text(const Frame& frame, std::string_view text, int descriptor) {
  return send(frame, std::as_bytes(std::span(text)), descriptor);
}

bool Channel::send_places(const Frame& frame, std::span<const TensorPlace> places, int descriptor) {
  return send(frame, std::as_bytes(places), descriptor);
}

Channel::Outcome Channel::receive(Message& message, std::chrono::milliseconds patience) {
  process::Packet packet;
  const auto outcome = packets_.receive(packet, patience);
  message.descriptor = std::move(packet.descriptor);
  if (outcome != Outcome::received) return outcome;
  if (packet.bytes.size() < sizeof(Frame)) return Outcome::closed;
  std::memcpy(&message.frame, packet.bytes.data(), sizeof(Frame));
  message.content = packet.bytes.subspan(sizeof(Frame));
  return Outcome::received;
}

}  // namespace verge::processing::isolation
