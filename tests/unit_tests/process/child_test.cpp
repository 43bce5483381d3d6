// Children: how they end, and that none is left behind.
#include "verge/process/child.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include <gmock/gmock.h>

namespace verge::process {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Result<Child> shell(const std::string& script) {
  return Child::start({"/bin/sh", {"-c", script}});
}

TEST(Children, TellHowTheyEnded) {
  auto child = shell("exit 3");
  ASSERT_TRUE(child) << child.error().text();
  const auto ending = child->wait(30s);
  ASSERT_TRUE(ending);
  EXPECT_EQ(ending->exit_status, 3);
  EXPECT_EQ(ending->text(), "ended with status 3");
  EXPECT_EQ(child->wait(0ms)->exit_status, 3) << "asked twice";
  EXPECT_EQ(child->resident_bytes(), 0U);

  auto crashed = shell("kill -SEGV $$");
  ASSERT_TRUE(crashed);
  EXPECT_THAT(crashed->wait(30s)->text(), HasSubstr("ended by signal 11 (Segmentation fault)"));
}

TEST(Children, RunUntilTheyAreKilled) {
  auto child = shell("exec sleep 600");
  ASSERT_TRUE(child);
  EXPECT_FALSE(child->wait(20ms));
  EXPECT_GT(child->resident_bytes(), 0U);
  EXPECT_EQ(child->kill().signal, SIGKILL);
  EXPECT_EQ(child->kill().signal, SIGKILL) << "asked twice";
}

TEST(Children, EndWithTheirOwner) {
  pid_t id = 0;
  {
    auto child = shell("exec sleep 600");
    ASSERT_TRUE(child);
    id = child->id();
    const Child moved = std::move(*child);
    EXPECT_EQ(moved.id(), id);
    EXPECT_EQ(::kill(id, 0), 0);
  }
  EXPECT_EQ(::kill(id, 0), -1);
}

TEST(Children, GetTheDescriptorsTheyAreGivenAndNoOther) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const int loose = ::dup(STDERR_FILENO);
  const Descriptor owned(loose);
  Descriptor in(pipe[0]);
  Descriptor out(pipe[1]);
  auto child = Child::start({"/bin/sh",
                             {"-c", "echo $VERGE_WORD >&3; echo /proc/$$/fd/* >&3"},
                             {{out.number(), 3}},
                             {{"VERGE_WORD=hello", "PATH=/usr/bin:/bin"}}});
  ASSERT_TRUE(child);
  out.reset();
  std::string said;
  std::array<char, 64> buffer{};
  for (ssize_t got = 0; (got = ::read(in.number(), buffer.data(), buffer.size())) > 0;) {
    said.append(buffer.data(), static_cast<std::size_t>(got));
  }
  EXPECT_EQ(child->wait(30s)->exit_status, 0);
  EXPECT_THAT(said, HasSubstr("hello\n"));
  EXPECT_THAT(said, HasSubstr("/fd/3"));
  EXPECT_THAT(said, ::testing::Not(HasSubstr("/fd/" + std::to_string(loose))));
}

TEST(Children, ThatCannotBeStartedSayWhy) {
  const auto child = Child::start({"/nowhere/program", {}});
  ASSERT_FALSE(child);
  EXPECT_THAT(child.error().text(), HasSubstr("cannot start '/nowhere/program': No such file"));
  EXPECT_EQ(child.error().id(), "VRG-PRC-001");
}

}  // namespace
}  // namespace verge::process
