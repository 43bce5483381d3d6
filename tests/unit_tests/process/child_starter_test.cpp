// Child starters: children that end with their parent do not end with a thread that came and went.
#include "verge/process/child_starter.hpp"

#include <thread>

#include <gmock/gmock.h>

namespace verge::process {
namespace {

using namespace std::chrono_literals;

TEST(ChildStarters, StartWhatOutlivesTheThreadThatAsked) {
  ChildStarter starter;
  std::optional<Result<Child>> child;
  std::thread([&] { child.emplace(starter.start({"/bin/sh", {"-c", "exec sleep 600"}})); }).join();
  ASSERT_TRUE(child && *child);
  EXPECT_FALSE((*child)->wait(20ms));
  EXPECT_EQ((*child)->kill().signal, SIGKILL);
}

TEST(ChildStarters, TellWhyOneCannotBeStarted) {
  ChildStarter starter;
  const auto child = starter.start({"/nowhere/program", {}});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().id(), "VRG-PRC-001");
}

TEST(ChildStarters, ServeSeveralThreads) {
  ChildStarter starter;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto child = starter.start({"/bin/sh", {"-c", "exit 3"}});
      ASSERT_TRUE(child);
      EXPECT_EQ(child->wait(30s)->exit_status, 3);
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace verge::process
