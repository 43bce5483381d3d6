#include "verge/process/channel.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace verge::process {
namespace {

/// Keeps the first; others are closed again, as the other side may be hostile.
void take_descriptors(msghdr& header, Descriptor& first) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      Descriptor taken(number);
      if (!first) first = std::move(taken);
    }
  }
}

}  // namespace

std::pair<Descriptor, Descriptor> Channel::pair() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return {};
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

bool Channel::send(std::span<const std::byte> head, std::span<const std::byte> content, int descriptor) {
  if (head.size() + content.size() > limit_bytes_) return false;
  std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(head.data()), head.size()},
                             iovec{const_cast<std::byte*>(content.data()), content.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = content.empty() ? 1 : 2;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

Channel::Outcome Channel::receive(Packet& packet, std::chrono::milliseconds patience) {
  if (buffer_.empty()) buffer_.resize(limit_bytes_);
  pollfd waiting{socket_.number(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, static_cast<int>(patience.count()));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return Outcome::timed_out;
  iovec part{buffer_.data(), buffer_.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket_.number(), &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  packet.descriptor = {};
  if (got <= 0) return Outcome::closed;
  take_descriptors(header, packet.descriptor);
  if ((header.msg_flags & MSG_TRUNC) != 0) return Outcome::closed;
  packet.bytes = std::span(buffer_).first(static_cast<std::size_t>(got));
  return Outcome::received;
}

}  // namespace verge::process
