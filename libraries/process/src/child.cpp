#include "verge/process/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

namespace verge::process {
namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (auto& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

Error not_started(const std::filesystem::path& executable, int reason) {
  return Error(ErrorCode::unavailable, "VRG-PRC-001",
               fmt::format("cannot start '{}': {}", executable.string(), std::strerror(reason)));
}

}  // namespace

std::string Ending::text() const {
  if (signal == 0) return fmt::format("ended with status {}", exit_status);
  return fmt::format("ended by signal {} ({})", signal, ::strsignal(signal));
}

Result<Child> Child::start(const Program& program) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // A descriptor that is passed on under its own number would keep its close-on-exec flag: a copy has none.
  std::vector<Descriptor> copies;
  int highest = STDERR_FILENO;
  for (const auto& [ours, theirs] : program.descriptors) {
    constexpr int kAboveTheirs = 64;
    copies.emplace_back(::fcntl(ours, F_DUPFD_CLOEXEC, kAboveTheirs));
    posix_spawn_file_actions_adddup2(&actions, copies.back().number(), theirs);
    highest = std::max(highest, theirs);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, highest + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<std::string> arguments{program.executable.filename().string()};
  arguments.insert(arguments.end(), program.arguments.begin(), program.arguments.end());
  std::vector<std::string> environment = program.environment.value_or(std::vector<std::string>{});
  pid_t id = 0;
  const int failed = ::posix_spawn(&id, program.executable.c_str(), &actions, &attributes, pointers(arguments).data(),
                                   program.environment ? pointers(environment).data() : environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) return not_started(program.executable, failed);
  Child child(id, Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, id, 0))));
  if (!child.handle_) {
    const int reason = errno;
    child.kill();
    return not_started(program.executable, reason);
  }
  return child;
}

Child::Child(Child&& other) noexcept
    : id_(std::exchange(other.id_, 0)), handle_(std::move(other.handle_)), ending_(other.ending_) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(id_, other.id_);
  std::swap(handle_, other.handle_);
  std::swap(ending_, other.ending_);
  return *this;
}

Child::~Child() {
  if (id_ != 0) kill();
}

void Child::reap() noexcept {
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(id_, &status, 0);
  } while (got < 0 && errno == EINTR);
  ending_.emplace();
  if (got != id_) return;
  if (WIFSIGNALED(status)) {
    ending_->signal = WTERMSIG(status);
  } else {
    ending_->exit_status = WEXITSTATUS(status);
  }
}

std::optional<Ending> Child::wait(std::chrono::milliseconds patience) {
  if (ending_) return ending_;
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waiting{handle_.number(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    reap();
    return ending_;
  }
}

Ending Child::kill() {
  if (!ending_) {
    ::kill(id_, SIGKILL);  // Not reaped yet: the number is still this child's.
    reap();
  }
  return *ending_;
}

std::uint64_t Child::resident_bytes() const {
  if (ending_) return 0;
  std::FILE* const file = std::fopen(fmt::format("/proc/{}/statm", id_).c_str(), "re");
  if (file == nullptr) return 0;
  unsigned long long total = 0;
  unsigned long long resident = 0;
  const int read = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

void end_with_parent() {
  const pid_t parent = ::getppid();
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::raise(SIGKILL);
}

}  // namespace verge::process
