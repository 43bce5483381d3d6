#include "verge/process/sandbox.hpp"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "landlock.hpp"
#include "system_calls.hpp"
#include "verge/process/child.hpp"

namespace verge::process {
namespace {

constexpr rlim_t kFileLimit = 64;
constexpr int kLastNiceness = 19;

Error lacks(std::string_view what) {
  return Error(ErrorCode::failed_precondition, "VRG-PRC-004",
               fmt::format("this system cannot confine a process: expected {}, got '{}'", what, std::strerror(errno)));
}

/// The first to go when memory ends, and the last to run.
void stand_back() {
  if (std::FILE* const file = std::fopen("/proc/self/oom_score_adj", "we"); file != nullptr) {
    std::fputs("800", file);
    std::fclose(file);
  }
  (void)::setpriority(PRIO_PROCESS, 0, kLastNiceness);
  const sched_param none{};
  (void)::sched_setscheduler(0, SCHED_IDLE, &none);
}

bool limit(decltype(RLIMIT_CORE) resource, rlim_t most) {
  const rlimit both{most, most};
  return ::setrlimit(resource, &both) == 0;
}

bool take_limits([[maybe_unused]] const Confinement& confinement) {
  bool done = limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_NOFILE, kFileLimit) &&
              limit(RLIMIT_MEMLOCK, 0) && limit(RLIMIT_MSGQUEUE, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // Whose shadow is terabytes of private memory.
  if (confinement.memory_bytes > 0) done = done && limit(RLIMIT_DATA, confinement.memory_bytes);
#endif
  return done;
}

/// Also of root: what is executed later gets none back, as the bounding set is empty.
bool drop_capabilities() {
  constexpr int kMostCapabilities = 63;
  for (int capability = 0; capability <= kMostCapabilities; ++capability) {
    (void)::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, 2> none{};
  return ::syscall(SYS_capset, &header, none.data()) == 0;
}

}  // namespace

std::string sandbox_lacks() {
  std::string missing;
  const auto add = [&](std::string_view what) { missing += fmt::format("{}{}", missing.empty() ? "" : " and ", what); };
  if (landlock_version() == 0) add("Landlock (Linux 5.13, with 'landlock' among the kernel's security modules)");
  if (!can_report_calls()) add("seccomp with user notification (Linux 5.5)");
  return missing;
}

Result<Descriptor> confine(const Confinement& confinement) {
  stand_back();
  // A second fence behind seccomp and Landlock, where the system allows it.
  (void)::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
  if (!take_limits(confinement) && !confinement.lenient) return lacks("to lower its limits");
  if (!drop_capabilities() && !confinement.lenient) return lacks("to give up its capabilities");
  end_with_parent();  // After the changes of rights, which would forget it.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 && !confinement.lenient) return lacks("no_new_privs");
  if (!restrict_files(confinement.readable) && !confinement.lenient) return lacks("Landlock");
  Descriptor reports = restrict_calls();
  if (!reports && !confinement.lenient) return lacks("seccomp with user notification");
  return reports;
}

std::optional<std::string> SandboxWatch::look() {
  seccomp_notif call{};
  int done = 0;
  do {
    done = ::ioctl(reports_.number(), SECCOMP_IOCTL_NOTIF_RECV, &call);
  } while (done != 0 && errno == EINTR);
  if (done != 0) return std::nullopt;  // Its process has ended meanwhile.
  if (call.data.nr == SYS_clone && (call.data.args[0] & CLONE_THREAD) != 0) {
    if (++threads_ > kThreadLimit) return fmt::format("started more than {} threads", kThreadLimit);
  } else if (call.data.nr != SYS_execve || std::exchange(has_become_, true)) {
    return std::string(meaning_of_call(call.data.nr));
  }
  seccomp_notif_resp answer{};
  answer.id = call.id;
  answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  (void)::ioctl(reports_.number(), SECCOMP_IOCTL_NOTIF_SEND, &answer);
  return std::nullopt;
}

}  // namespace verge::process
