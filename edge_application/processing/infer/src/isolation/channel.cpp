#include "channel.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
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

std::pair<process::Descriptor, process::Descriptor> Channel::pair() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return {};
  return {process::Descriptor(ends[0]), process::Descriptor(ends[1])};
}

bool Channel::send(const Frame& frame, std::span<const std::byte> content, int descriptor) {
  if (content.size() > kContentLimitBytes) return false;
  Frame head = frame;
  std::array<iovec, 2> parts{iovec{&head, sizeof(head)}, iovec{const_cast<std::byte*>(content.data()), content.size()}};
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

bool Channel::send_text(const Frame& frame, std::string_view text, int descriptor) {
  return send(frame, std::as_bytes(std::span(text)), descriptor);
}

bool Channel::send_places(const Frame& frame, std::span<const TensorPlace> places, int descriptor) {
  return send(frame, std::as_bytes(places), descriptor);
}

Channel::Outcome Channel::receive(Message& message, std::chrono::milliseconds patience) {
  if (buffer_.empty()) buffer_.resize(sizeof(Frame) + kContentLimitBytes);
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
  message.descriptor = {};
  if (got <= 0) return Outcome::closed;
  if (const cmsghdr* control_header = CMSG_FIRSTHDR(&header);
      control_header != nullptr && control_header->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(control_header), sizeof(int));
    message.descriptor = process::Descriptor(number);
  }
  const auto size = static_cast<std::size_t>(got);
  if (size < sizeof(Frame) || (header.msg_flags & MSG_TRUNC) != 0) return Outcome::closed;
  std::memcpy(&message.frame, buffer_.data(), sizeof(Frame));
  message.content = std::span(buffer_).subspan(sizeof(Frame), size - sizeof(Frame));
  return Outcome::received;
}

}  // namespace verge::processing::isolation
