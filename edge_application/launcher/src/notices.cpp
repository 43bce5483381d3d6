#include "notices.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <string_view>

#include <fmt/format.h>

#include "verge/process/service_manager.hpp"

namespace verge::launcher {
namespace {

constexpr std::size_t kNoticeLimitBytes = 4096;

/// The value of a line "NAME=value"; empty: there is none.
std::string_view value_of(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == '=') {
      return line.substr(name.size() + 1);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

/// What came with a message: who sent it, and a descriptor.
struct Sender {
  pid_t id = 0;
  Descriptor descriptor;
};

Sender sender_of(msghdr& message) {
  Sender sender;
  for (auto* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET) continue;
    if (head->cmsg_type == SCM_CREDENTIALS) {
      ucred who{};
      std::memcpy(&who, CMSG_DATA(head), sizeof who);
      sender.id = who.pid;
    } else if (head->cmsg_type == SCM_RIGHTS) {
      for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= head->cmsg_len; at += sizeof(int)) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(head) + at, sizeof number);
        sender.descriptor = Descriptor(number);  // Of several the last.
      }
    }
  }
  return sender;
}

}  // namespace

Result<Notices> Notices::open() {
  Notices notices;
  std::random_device random;
  notices.name_ = fmt::format("@verge-launcher-{}-{:08x}{:08x}", ::getpid(), random(), random());
  notices.socket_ = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, notices.name_.data(), notices.name_.size());
  address.sun_path[0] = '\0';
  const int on = 1;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + notices.name_.size());
  if (!notices.socket_ || ::setsockopt(notices.number(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      ::bind(notices.number(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return Error(ErrorCode::unavailable, "VRG-LCH-002",
                 fmt::format("cannot make a socket for the agent's notices: {}", std::strerror(errno)));
  }
  return notices;
}

Notices::News Notices::take(pid_t from) {
  News news;
  for (std::array<char, kNoticeLimitBytes> buffer{};;) {
    alignas(cmsghdr) std::array<char, 512> space{};
    iovec content{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &content;
    message.msg_iovlen = 1;
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    const auto got = ::recvmsg(number(), &message, MSG_CMSG_CLOEXEC);
    if (got < 0) return news;
    auto sender = sender_of(message);
    if (sender.id != from) continue;
    const std::string_view text(buffer.data(), static_cast<std::size_t>(got));
    news.ready |= value_of(text, "READY") == "1";
    news.alive |= value_of(text, "WATCHDOG") == "1";
    const auto name = std::string(value_of(text, "FDNAME"));
    if (value_of(text, "FDSTOREREMOVE") == "1") kept_.erase(name);
    const bool room = kept_.size() < process::kHandedOverLimit || kept_.contains(name);
    if (value_of(text, "FDSTORE") == "1" && sender.descriptor && !name.empty() && room) {
      kept_[name] = std::move(sender.descriptor);
    }
  }
}

}  // namespace verge::launcher
