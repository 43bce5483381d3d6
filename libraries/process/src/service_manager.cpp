#include "verge/process/service_manager.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace verge::process {
namespace {

/// The environment is read and changed before there are threads.
std::string take(const char* name) {
  const char* set = std::getenv(name);
  std::string value = set == nullptr ? "" : set;
  ::unsetenv(name);
  return value;
}

std::optional<long> number(const std::string& text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
  ServiceManager manager;
  manager.launcher_ = std::getenv("VERGE_LAUNCHER") != nullptr;
  manager.release_ = take("VERGE_LAUNCHER");
  manager.socket_ = take("NOTIFY_SOCKET");
  if (const auto every = number(take("WATCHDOG_USEC")); every && *every > 0) {
    // Twice within the time, as sd_watchdog_enabled(3) advises.
    manager.watchdog_ = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::microseconds(*every) / 2);
  }
  const auto count = number(take("LISTEN_FDS"));
  const auto owner = number(take("LISTEN_PID"));
  const auto all_names = take("LISTEN_FDNAMES");
  take("WATCHDOG_PID");
  // verge-launcher cannot know the number of a process before there is one.
  const bool ours = owner ? *owner == ::getpid() : manager.launcher_;
  if (!count || !ours) return manager;
  std::string_view names = all_names;
  for (int i = 0; i < std::min<long>(*count, kHandedOverLimit); ++i) {
    const int given = kFirstHandedOver + i;
    ::fcntl(given, F_SETFD, FD_CLOEXEC);
    const auto name = names.substr(0, names.find(':'));
    names.remove_prefix(std::min(name.size() + 1, names.size()));
    manager.kept_.push_back({Descriptor(given), std::string(name)});
  }
  return manager;
}

void ServiceManager::notify(std::string_view state) const noexcept {
  (void)send(state, -1);
}

bool ServiceManager::keep(int descriptor, std::string_view name) const noexcept {
  std::string state = "FDSTORE=1\nFDNAME=";
  state += name;
  return send(state, descriptor);
}

void ServiceManager::forget(std::string_view name) const noexcept {
  std::string state = "FDSTOREREMOVE=1\nFDNAME=";
  state += name;
  (void)send(state, -1);
}

bool ServiceManager::send(std::string_view state, int descriptor) const noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';  // An abstract name.
  const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  iovec content{const_cast<char*>(state.data()), state.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  if (descriptor >= 0) {
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    auto* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  }
  return ::sendmsg(socket.number(), &message, MSG_NOSIGNAL) >= 0;
}

}  // namespace verge::process
