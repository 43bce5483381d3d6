// Channels: packets arrive whole, descriptors go along, and a hostile sender leaves none behind.
#include "verge/process/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

namespace verge::process {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST(Channels, CarryPacketsAndDescriptors) {
  auto [one, two] = Channel::pair();
  Channel ours(std::move(one), 64);
  Channel theirs(std::move(two), 64);
  const std::array<std::byte, 2> head{std::byte{1}, std::byte{2}};
  const std::array<std::byte, 1> rest{std::byte{3}};
  ASSERT_TRUE(ours.send(head, rest, STDERR_FILENO));
  Packet packet;
  ASSERT_EQ(theirs.receive(packet), Channel::Outcome::received);
  ASSERT_EQ(packet.bytes.size(), 3U);
  EXPECT_EQ(packet.bytes[2], std::byte{3});
  EXPECT_TRUE(packet.descriptor);
  EXPECT_EQ(theirs.receive(packet, std::chrono::milliseconds(1)), Channel::Outcome::timed_out);
  { const Channel gone = std::move(ours); }
  EXPECT_EQ(theirs.receive(packet), Channel::Outcome::closed);
}

TEST(Channels, RefuseWhatIsTooLong) {
  auto [one, two] = Channel::pair();
  Channel ours(std::move(one), 64);
  Channel theirs(std::move(two), 8);
  const std::array<std::byte, 65> many{};
  EXPECT_FALSE(ours.send(many, {}));
  ASSERT_TRUE(ours.send(std::span(many).first(32), {}));
  Packet packet;
  EXPECT_EQ(theirs.receive(packet), Channel::Outcome::closed);
}

TEST(Channels, KeepNoDescriptorsThatNobodyAskedFor) {
  auto [one, two] = Channel::pair();
  const int socket = one.number();
  const std::size_t before = open_descriptors();
  {
    Channel theirs(std::move(two), 64);
    std::array<int, 2> sent{STDERR_FILENO, STDERR_FILENO};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(sent))> control{};
    std::byte byte{};
    iovec part{&byte, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(sent));
    std::memcpy(CMSG_DATA(header), sent.data(), sizeof(sent));
    ASSERT_EQ(::sendmsg(socket, &message, 0), 1);
    Packet packet;
    ASSERT_EQ(theirs.receive(packet), Channel::Outcome::received);
  }
  EXPECT_EQ(open_descriptors(), before - 1) << "their end is closed, and so is all that came";
}

}  // namespace
}  // namespace verge::process
