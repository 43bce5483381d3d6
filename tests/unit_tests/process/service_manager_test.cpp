#include "verge/process/service_manager.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include <gmock/gmock.h>

namespace verge::process {
namespace {

using testing::HasSubstr;

/// The side that listens, as systemd or the launcher.
class ManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "VERGE_LAUNCHER"})
      ::unsetenv(name);
    name_ = "@verge-test-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name_.data(), name_.size());
    address.sun_path[0] = '\0';
    socket_ = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_EQ(::bind(socket_.number(), reinterpret_cast<const sockaddr*>(&address),
                     static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size())),
              0);
  }
  /// A message, and whether a descriptor came with it.
  std::pair<std::string, bool> take() {
    std::array<char, 512> text{};
    alignas(cmsghdr) std::array<char, 256> space{};
    iovec content{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &content;
    message.msg_iovlen = 1;
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    const auto got = ::recvmsg(socket_.number(), &message, MSG_CMSG_CLOEXEC);
    bool with = false;
    for (auto* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
      with |= head->cmsg_type == SCM_RIGHTS;
    }
    return {std::string(text.data(), got < 0 ? 0 : static_cast<std::size_t>(got)), with};
  }

  std::string name_;
  Descriptor socket_;
};

TEST_F(ManagerTest, WithoutOneNothingIsToldAndNothingKept) {
  auto manager = ServiceManager::from_environment();
  EXPECT_FALSE(manager.is_there());
  EXPECT_FALSE(manager.is_launcher());
  EXPECT_FALSE(manager.keep(STDIN_FILENO, "x"));
  EXPECT_TRUE(manager.take_kept().empty());
  EXPECT_EQ(manager.watchdog().count(), 0);
}

TEST_F(ManagerTest, StatesAndDescriptorsGoToIt) {
  ::setenv("NOTIFY_SOCKET", name_.c_str(), 1);
  ::setenv("WATCHDOG_USEC", "6000000", 1);
  const auto manager = ServiceManager::from_environment();
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr) << "no child takes it for its own";
  EXPECT_EQ(manager.watchdog(), std::chrono::seconds(3)) << "twice within the time";
  manager.notify("READY=1");
  EXPECT_EQ(take(), std::pair(std::string("READY=1"), false));
  EXPECT_TRUE(manager.keep(STDIN_FILENO, "api"));
  const auto [text, with] = take();
  EXPECT_THAT(text, HasSubstr("FDSTORE=1"));
  EXPECT_THAT(text, HasSubstr("FDNAME=api"));
  EXPECT_TRUE(with);
  manager.forget("api");
  EXPECT_EQ(take(), std::pair(std::string("FDSTOREREMOVE=1\nFDNAME=api"), false));
}

TEST_F(ManagerTest, WhatWasKeptHasItsName) {
  // The numbers that are handed over may be anybody's in this process.
  const auto are_read = [](const char* given) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (const int number : {3, 4, 5}) ::dup2(STDERR_FILENO, number);
      ::setenv("LISTEN_FDS", "3", 1);
      ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
      if (given != nullptr) ::setenv("LISTEN_FDNAMES", given, 1);
      std::string all;
      for (const auto& one : ServiceManager::from_environment().take_kept()) all += one.name + ';';
      ::_exit(all == (given == nullptr ? ";;;" : "api;grpc;;") ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    return status == 0;
  };
  EXPECT_TRUE(are_read("api:grpc"));
  EXPECT_TRUE(are_read(nullptr)) << "an older verge-launcher tells none";
}

TEST_F(ManagerTest, OnlyWhatIsMeantForThisProcessIsTaken) {
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("LISTEN_PID", "1", 1);
  EXPECT_TRUE(ServiceManager::from_environment().take_kept().empty());
  ::setenv("LISTEN_FDS", "no number", 1);
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  EXPECT_TRUE(ServiceManager::from_environment().take_kept().empty());
}

TEST_F(ManagerTest, TheLauncherSaysWhatItStarted) {
  ::setenv("VERGE_LAUNCHER", "sha256:abc", 1);
  const auto manager = ServiceManager::from_environment();
  EXPECT_TRUE(manager.is_launcher());
  EXPECT_EQ(manager.release(), "sha256:abc");
  EXPECT_EQ(std::getenv("VERGE_LAUNCHER"), nullptr);
}

}  // namespace
}  // namespace verge::process
