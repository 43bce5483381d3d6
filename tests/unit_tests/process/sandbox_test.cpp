// The sandbox: what a confined process cannot do, whatever it tries, and what it still can.
#include "verge/process/sandbox.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/process/channel.hpp"

namespace verge::process {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t kMemory = std::uint64_t{256} << 20U;

/// What became of a confined process: what it was seen to do, or its exit status.
struct Outcome {
  std::string violation;
  int status = -1;
  int signal = 0;
};

class Sandboxes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto missing = sandbox_lacks(); !missing.empty()) {
      GTEST_SKIP() << "this system has no sandbox for custom steps: it lacks " << missing;
    }
    auto folder = TemporaryFolder::create("verge-sandbox-");
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<TemporaryFolder>(std::move(*folder));
    ASSERT_TRUE(write_file(folder_->path() / "inside" / "file", std::string_view("inside")));
    ASSERT_TRUE(write_file(folder_->path() / "outside", std::string_view("outside")));
  }

  /// Runs `work` in a confined child; its result is the exit status.
  Outcome confined(const std::function<int()>& work) {
    auto [ours, theirs] = Channel::pair();
    const pid_t id = ::fork();
    if (id == 0) {
      ours.reset();
      const auto reports = confine({{folder_->path() / "inside", "/lib", "/lib64", "/usr/lib"}, kMemory});
      Channel channel(std::move(theirs), 64);
      const std::array<std::byte, 1> hello{};
      if (!reports || !channel.send(hello, {}, reports->number())) ::_exit(200);
      ::_exit(work());
    }
    theirs.reset();
    Channel channel(std::move(ours), 64);
    Packet packet;
    Outcome outcome;
    if (channel.receive(packet, std::chrono::seconds(30)) == Channel::Outcome::received) {
      SandboxWatch watch(std::move(packet.descriptor));
      outcome.violation = watch_until_end(watch, channel.number());
    }
    if (!outcome.violation.empty()) ::kill(id, SIGKILL);
    int status = 0;
    ::waitpid(id, &status, 0);
    if (WIFEXITED(status)) outcome.status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
    return outcome;
  }

  std::unique_ptr<TemporaryFolder> folder_;

 private:
  static std::string watch_until_end(SandboxWatch& watch, int channel) {
    for (;;) {
      std::array<pollfd, 2> waiting{pollfd{watch.descriptor(), POLLIN, 0}, pollfd{channel, POLLIN, 0}};
      if (::poll(waiting.data(), waiting.size(), 30'000) <= 0) return "nothing happened";
      if ((waiting[0].revents & POLLIN) != 0) {
        if (auto violation = watch.look()) return *violation;
      } else if (waiting[1].revents != 0 || (waiting[0].revents & POLLHUP) != 0) {
        return {};
      }
    }
  }
};

TEST_F(Sandboxes, LetComputeAndReadWhatIsGiven) {
  const auto file = folder_->path() / "inside" / "file";
  const auto outcome = confined([&] {
    const Descriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    char text[6];
    return opened && ::read(opened.number(), text, sizeof(text)) == 6 ? 7 : 1;
  });
  EXPECT_EQ(outcome.status, 7);
  EXPECT_THAT(outcome.violation, IsEmpty());
}

TEST_F(Sandboxes, HideEveryOtherFile) {
  const auto outside = folder_->path() / "outside";
  EXPECT_EQ(confined([&] { return ::open(outside.c_str(), O_RDONLY) < 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([] { return ::open("/etc/passwd", O_RDONLY) < 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([] { return ::open("/proc/self/environ", O_RDONLY) < 0 ? errno : 0; }).status, EACCES);
  const auto ways_out = folder_->path() / "inside" / ".." / "outside";
  EXPECT_EQ(confined([&] { return ::open(ways_out.c_str(), O_RDONLY) < 0 ? errno : 0; }).status, EACCES);
}

TEST_F(Sandboxes, LetWriteNothing) {
  const auto file = folder_->path() / "inside" / "file";
  const auto fresh = folder_->path() / "inside" / "fresh";
  EXPECT_EQ(confined([&] { return ::open(file.c_str(), O_WRONLY) < 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([&] { return ::open(fresh.c_str(), O_CREAT | O_WRONLY, 0600) < 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([&] { return ::unlink(file.c_str()) != 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([&] { return ::chmod(file.c_str(), 0777) != 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([&] { return ::rename(file.c_str(), fresh.c_str()) != 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([&] { return ::mkdir(fresh.c_str(), 0700) != 0 ? errno : 0; }).status, EACCES);
}

TEST_F(Sandboxes, StopWhoReachesForTheNetwork) {
  EXPECT_THAT(confined([] { return ::socket(AF_INET, SOCK_STREAM, 0); }).violation, HasSubstr("called socket()"));
  EXPECT_THAT(confined([] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }).violation, HasSubstr("called socket()"));
  const auto bound = confined([] {
    const sockaddr_in address{};
    return ::connect(0, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  });
  EXPECT_THAT(bound.violation, HasSubstr("called connect()"));
  EXPECT_EQ(bound.signal, SIGKILL);
}

TEST_F(Sandboxes, StopWhoStartsProcesses) {
  EXPECT_THAT(confined([] { return static_cast<int>(::fork()); }).violation, HasSubstr("starts a process"));
  EXPECT_THAT(confined([] { return static_cast<int>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }).violation,
              HasSubstr("starts a process"));
  EXPECT_EQ(confined([] { return static_cast<int>(::syscall(SYS_clone3, nullptr, 0)) < 0 ? errno : 0; }).status,
            ENOSYS);
  const auto twice = confined([] {
    // Becoming another program is let pass once: this one is not there, and the next attempt is one too many.
    (void)::execl("/usr/lib/no/such/program", "program", nullptr);
    return ::execl("/usr/lib/no/such/program", "program", nullptr);
  });
  EXPECT_THAT(twice.violation, HasSubstr("called execve()"));
}

TEST_F(Sandboxes, LetPassAFewThreads) {
  const auto outcome = confined([] {
    int sum = 0;
    for (int i = 1; i <= SandboxWatch::kThreadLimit; ++i) std::thread([&sum, i] { sum += i; }).join();
    return sum;
  });
  EXPECT_EQ(outcome.status, 136) << outcome.violation;
  const auto many = confined([] {
    for (int i = 0; i <= SandboxWatch::kThreadLimit; ++i) std::thread([] {}).join();
    return 0;
  });
  EXPECT_THAT(many.violation, HasSubstr("started more than 16 threads"));
}

TEST_F(Sandboxes, StopWhoTouchesOtherProcesses) {
  EXPECT_THAT(confined([] { return ::kill(::getppid(), 0); }).violation, HasSubstr("kill() on another process"));
  EXPECT_THAT(confined([] { return ::kill(0, SIGTERM); }).violation, HasSubstr("kill() on another process"));
  EXPECT_THAT(confined([] { return static_cast<int>(::ptrace(PTRACE_ATTACH, ::getppid(), 0, 0)); }).violation,
              HasSubstr("called ptrace()"));
  EXPECT_THAT(confined([] { return static_cast<int>(::syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0)); }).violation,
              HasSubstr("process_vm_readv()"));
  EXPECT_EQ(confined([] { return ::raise(SIGUSR1); }).signal, SIGUSR1) << "its own";
}

TEST_F(Sandboxes, StopWhoUsesTheKernelsCorners) {
  for (const auto& [number, name] :
       {std::pair{SYS_mount, "mount"}, std::pair{SYS_bpf, "bpf"}, std::pair{SYS_keyctl, "keyctl"},
        std::pair{SYS_userfaultfd, "userfaultfd"}, std::pair{SYS_perf_event_open, "perf_event_open"},
        std::pair{SYS_io_uring_setup, "io_uring_setup"}, std::pair{SYS_unshare, "unshare"},
        std::pair{SYS_shmget, "shmget"}}) {
    const long call = number;
    EXPECT_THAT(confined([call] { return static_cast<int>(::syscall(call, 0, 0, 0, 0, 0)); }).violation,
                HasSubstr(std::string("called ") + name + "()"));
  }
  EXPECT_EQ(confined([] { return ::syscall(SYS_memfd_create, "m", 0) < 0 ? errno : 0; }).status, EACCES);
  EXPECT_EQ(confined([] { return ::prctl(PR_SET_PDEATHSIG, 0) != 0 ? errno : 0; }).status, EPERM);
  EXPECT_EQ(confined([] { return ::fcntl(0, F_SETOWN, 1) != 0 ? errno : 0; }).status, EPERM);
}

TEST_F(Sandboxes, LimitMemoryHoweverItIsTaken) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take terabytes for themselves";
#endif
  const auto taken = [&](int flags) {
    return confined([flags] {
             void* const got = ::mmap(nullptr, std::size_t{4} << 30U, PROT_READ | PROT_WRITE, flags, -1, 0);
             return got == MAP_FAILED ? errno : 0;
           })
        .status;
  };
  EXPECT_EQ(taken(MAP_PRIVATE | MAP_ANONYMOUS), ENOMEM);
  EXPECT_EQ(taken(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE), ENOMEM);
  EXPECT_EQ(taken(MAP_SHARED | MAP_ANONYMOUS), ENOMEM);
  EXPECT_EQ(taken(MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN), ENOMEM);
  const auto raised = confined([] {
    const rlimit more{RLIM_INFINITY, RLIM_INFINITY};
    return ::setrlimit(RLIMIT_DATA, &more) != 0 ? errno : 0;
  });
  EXPECT_EQ(raised.status, EPERM);
}

TEST_F(Sandboxes, RunWhenNobodyElseWants) {
  EXPECT_EQ(confined([] { return ::sched_getscheduler(0); }).status, SCHED_IDLE);
  const auto raised = confined([] {
    const sched_param none{};
    return ::sched_setscheduler(0, SCHED_OTHER, &none) != 0 ? errno : 0;
  });
  EXPECT_EQ(raised.status, EACCES);
}

}  // namespace
}  // namespace verge::process
